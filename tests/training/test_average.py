"""Averages of weights against a loop, and what ships of them."""

import copy

import pytest
import torch
from torch import nn

from unskip import TrainingRecipe, distill, evaluate, make_net
from unskip.methods import METHODS
from unskip.surgery import with_dirac_convs, without_shortcuts
from unskip.training.average import AverageWeights

SETTINGS = TrainingRecipe(epochs=5, batch_size=50, ema_decay=0.6, precision="float32")


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 4, "in_channels": 1})


def test_it_is_the_loop_of_its_formula():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = AverageWeights(net, 0.6)
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for step in range(12):
        net(torch.randn(4, 1, 8, 8))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        for name, tensor in net.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor
    now = copy.deepcopy(net.state_dict())
    with average.in_place():
        for name, tensor in net.state_dict().items():
            assert torch.allclose(tensor, expected[name].to(tensor.dtype)), name
        assert not torch.equal(net[1].running_var, now["1.running_var"])
    assert all(torch.equal(tensor, now[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", list(METHODS))
def test_what_ships_has_the_averages_and_the_score_that_was_validated(name, teacher, data):
    student = with_dirac_convs(without_shortcuts(teacher)) if name == "joint_rd" else None
    trained = distill(teacher, data, METHODS[name](), student=student, training=SETTINGS, seed=3)
    shipped = trained["full" if name == "embedded_kd" else "student"]
    # What is folded rounds otherwise.
    assert evaluate(shipped, data.test_batches(512).epoch(0)).value == pytest.approx(
        trained.history[-1]["score"], abs=0.011
    )
    last = distill(
        teacher,
        data,
        METHODS[name](),
        student=with_dirac_convs(without_shortcuts(teacher)) if name == "joint_rd" else None,
        training=SETTINGS.model_copy(update={"ema_decay": None}),
        seed=3,
    )
    averaged, raw = trained.student.state_dict(), last.student.state_dict()
    for place, tensor in averaged.items():
        if place.endswith(("num_batches_tracked", "factor", "delta")):
            assert torch.equal(tensor, raw[place]), place
        elif name == "stagewise_kd":  # finished parts have reached their averages by now
            continue
        elif place.endswith("running_var") and not ("block2" in place and "depths" in place):  # the sub-net lacks these
            assert not torch.equal(tensor, raw[place]), place
    # No gradient knows of the averages: the loss went the same way.
    assert [row["terms"] for row in trained.history] == [row["terms"] for row in last.history]


def test_every_phase_begins_with_a_short_average(teacher):
    """A head that trains last, for few steps, is not averaged with what it was before."""
    average = AverageWeights(teacher, 0.9999)
    for step in (*range(1000), 0):
        with torch.no_grad():
            next(teacher.parameters()).fill_(float(step))
        average.update(step)
    first = next(iter(average.state_dict().values()))
    assert first.max() < 100  # 0.1 of the last phase's 899
