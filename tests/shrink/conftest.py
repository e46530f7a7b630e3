"""A trained network to begin with."""

from pathlib import Path

import pytest

import unskip
from unskip.recipe import DataRecipe
from unskip.shrink import Request, base_recipe
from unskip.weights import save_net

SETTINGS = ("data.limit=300", "data.test_limit=100", "training.batch_size=32")
"""What keeps trainings short."""


@pytest.fixture(scope="session")
def teacher_file(tmp_path_factory) -> Path:
    """A small ResNet that knows the digits."""
    data = unskip.load_data(DataRecipe(name="digits", limit=300, test_limit=100), device="cpu")
    net = unskip.make_net("resnet8", {"width": 8, "in_channels": 1, "num_classes": 10})
    training = unskip.TrainingRecipe(epochs=20, batch_size=32, validate_every=20)
    unskip.distill(None, data, unskip.CE(), student=net, training=training)
    file = tmp_path_factory.mktemp("teacher") / "net.safetensors"
    save_net(net, file, data.info)
    return file


@pytest.fixture(scope="session")
def ask(teacher_file):
    """A request for the trained network, by its limits and whatever else."""

    def asked(limits, *, settings=(), **more) -> Request:
        recipe = base_recipe(str(teacher_file), data="digits", settings=[*SETTINGS, *settings])
        return Request(recipe=recipe, limits=limits, **{"preset": "quick", **more})

    return asked
