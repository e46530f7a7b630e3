"""What the toolkit works itself is no other process that loads the machine."""

import pytest

from unskip import Budget, fit_budget, make_net, run_recipe
from unskip.compare import Settings, bench, benchmark, find_targets
from unskip.recipe import recipe_from


@pytest.fixture
def working(monkeypatch):
    """A list; the machine is idle as long as nothing is in it."""
    began = []
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (4.0 if began else 0.5, 0, 0))
    return began


def test_of_a_run_its_own_training(working, monkeypatch, tmp_path):
    monkeypatch.setattr("os.getloadavg", lambda: (4.0 if any(tmp_path.rglob("trained/*")) else 0.5, 0, 0))
    recipe = {
        "data": {"name": "digits", "limit": 50, "test_limit": 50},
        "teacher": {"net": "resnet8", "options": {"width": 2}},
        "methods": {"ce": {}},
        "training": {"epochs": 1, "batch_size": 50},
        "measure": {"latency": False, "parity_images": 2},
    }
    run = run_recipe(recipe_from(recipe), tmp_path / "run")
    assert (run.comparison.load.average, run.comparison.load.warning) == (0.5, None)


def test_of_a_budget_its_own_search(working):
    net, budget = make_net("resnet8", {"width": 2}), Budget({"parameters": "1M"})
    answer = fit_budget(net, (3, 16, 16), budget, limit=0, progress=working.append)  # the network alone is measured
    assert working
    assert (answer.load.average, answer.load.warning) == (0.5, None)


def test_of_a_benchmark_its_own_reading(working, monkeypatch):
    monkeypatch.setattr(benchmark, "find_targets", lambda *given: working.append(given) or find_targets(*given))
    settings = Settings(repeats=1, processes=1, quick=True)
    found = bench(["resnet8+width=2"], settings, image_size=(16, 16), accuracy=False)
    assert working
    assert (found.load.average, found.load.warning) == (0.5, None)
