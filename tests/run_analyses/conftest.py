"""Two small runs that differ in their seed."""

import pytest

from unskip import run_recipe
from unskip.recipe import recipe_from

SMALL = {
    "data": {"name": "digits", "limit": 100, "test_limit": 60},
    "teacher": {"net": "resnet8", "options": {"width": 4}, "accept_weak": True},
    "methods": {"ce": {}, "joint_rd": {}},
    "training": {"epochs": 1, "batch_size": 50, "snapshots": [0]},
    "measure": {"latency": False, "parity_images": 10, "runtime": "torch"},
}


@pytest.fixture(scope="session")
def two_seeds(tmp_path_factory):
    """Their folders; tests that write into one copy it first."""
    home = tmp_path_factory.mktemp("two seeds")
    for seed in (0, 1):
        run_recipe(recipe_from(SMALL, [f"seed={seed}"]), home / f"seed-{seed}")
    return [home / f"seed-{seed}" for seed in (0, 1)]
