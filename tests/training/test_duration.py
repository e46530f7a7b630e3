"""How long a training will take, asked without a trace."""

import time

import pytest
import torch

from unskip import TrainingRecipe, distill, make_net
from unskip.methods import METHODS
from unskip.recipe import OneCycle
from unskip.training.duration import Estimate, estimate, estimate_of, seconds_per_step
from unskip.training.prepared_training import prepare_training

SETTINGS = TrainingRecipe(epochs=5, batch_size=50, validate_every=2)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 4, "in_channels": 1})


def states(*nets):
    return [{name: tensor.clone() for name, tensor in net.state_dict().items()} for net in nets]


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("name", list(METHODS))
def test_asking_changes_no_network_and_no_generator(name, teacher, data):
    method = METHODS[name]()
    ready = prepare_training(teacher, data, method, student=None, test=None, training=SETTINGS, task=None, seed=3)
    before, generator = states(ready.loss, teacher), torch.get_rng_state()
    estimated = estimate_of(ready, method, within=0.2)
    assert all(map(same, before, states(ready.loss, teacher)))
    assert torch.equal(generator, torch.get_rng_state())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in ready.loss.parameters())
    assert estimated.steps == 5 * 4
    assert estimated.validations == 3  # after epochs 2 and 4, and the last
    assert estimated.seconds_per_step > 0 < estimated.seconds_per_validation


def test_a_training_after_the_question_is_the_same_bit_by_bit(teacher, data):
    method = METHODS["fade_kd"]()
    expected = distill(teacher, data, method, training=SETTINGS)["student"].state_dict()
    estimate(teacher, data, method, training=SETTINGS, within=0.2)
    assert same(expected, distill(teacher, data, method, training=SETTINGS)["student"].state_dict())


def test_phases_count_by_their_epochs(teacher, data):
    """A step of the hint's phase, made slow, is one of two in five epochs."""
    method = METHODS["fitnets"](hint_share=0.4)
    ready = prepare_training(teacher, data, method, student=None, test=None, training=SETTINGS, task=None, seed=0)
    hint = ready.loss.phases[0].objective
    hint.register_forward_pre_hook(lambda *_: time.sleep(0.1))
    found = seconds_per_step(ready.loss, ready.batches, fabric=ready.fabric, settings=SETTINGS)
    assert found >= 0.04  # 2 / 5 of 0.1 s, and the steps themselves


def test_a_training_of_one_step_can_be_asked_about(teacher, data):
    short = TrainingRecipe(epochs=1, batch_size=200, schedule=OneCycle())
    assert estimate(teacher, data, METHODS["kd"](), training=short).steps == 1


def test_the_whole_is_steps_and_validations():
    assert Estimate(0.5, 10, 2.0, 3).seconds == 11


def test_what_is_done_before_the_first_step_counts_until_it_is_done(teacher, data):
    assert Estimate(0.5, 10, 2.0, 3, preparation=4).seconds == 13
    assert Estimate(0.5, 10, 2.0, 3, preparation=4).seconds_left(0.5) == 5.5
    short = TrainingRecipe(epochs=1, batch_size=50, schedule=OneCycle())
    whole = estimate(teacher, data, METHODS["fit_kd"](images=20, passes=5.0), training=short)
    assert whole.preparation == 2 * 20 * 5 / 50
    assert estimate(teacher, data, METHODS["kd"](), training=short).preparation == 0
