"""One training of a trial."""

import pytest
import torch
from rich.console import Console

import unskip
from unskip.records import Trial
from unskip.shrink import base_recipe
from unskip.shrink.candidates import STUDENT, recipe_of
from unskip.shrink.lengths import FITTING_SHARE, Length
from unskip.shrink.trainings import seconds_per_step, train_trial
from unskip.surgery import residual_blocks
from unskip.tasks import Classification


@pytest.fixture(scope="module")
def data():
    section = base_recipe("resnet14", data="digits").data
    return unskip.load_data(section.model_copy(update={"image_size": 8, "limit": 256, "test_limit": 32}))


def test_blocks_are_fitted_in_a_trial_and_count_as_the_steps_that_take_as_long(data, tmp_path):
    torch.manual_seed(0)
    teacher = unskip.make_net("resnet14", {"width": 4, "in_channels": 1})
    base = base_recipe("resnet14", data="digits", settings=["teacher.options={width: 4}"])
    trial = Trial(
        label="plain",
        words="plain",
        edits=("without_shortcuts",),
        method="fit_kd",
        input_shape=data.image_shape,
        figures={},
    )
    recipe = recipe_of(base, trial, Length(2, 1.0), data.num_train)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"image_size": 8})})
    trained = train_trial(
        "plain", recipe, teacher, data, Classification(), tmp_path / "net.safetensors", Console(quiet=True)
    )
    steps = 2 * (data.num_train // recipe.training.batch_size)
    assert steps < trained.steps <= (1 + FITTING_SHARE) * steps
    assert not residual_blocks(trained.net)
    assert recipe.methods[STUDENT]["images"] == data.num_train
    again = train_trial(
        "plain", recipe, teacher, data, Classification(), tmp_path / "net.safetensors", Console(quiet=True)
    )
    assert (again.steps, again.score) == (trained.steps, trained.score)
    assert 0 < seconds_per_step(recipe, teacher, data, Classification()) < 5
