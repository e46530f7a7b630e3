"""Fading under JointRD's loss, against `joint_rd` of a student whose shortcuts are scaled by other means."""

import copy

import pytest
import torch
from torch import nn

from unskip import make_net
from unskip.edits import without_shortcuts
from unskip.methods import method_from
from unskip.nets import Residual
from unskip.nets.fading import fading_blocks
from unskip.surgery import residual_blocks
from unskip.tasks import Classification

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5)).double()
LABELS = torch.tensor([0, 1, 2, 1])
FIELDS = [{}, {"tap": "pre_relu"}, {"tap": "pre_relu", "distance": "margin"}]


class Scaled(nn.Module):
    """A shortcut that counts by a factor."""

    def __init__(self, shortcut, factor):
        super().__init__()
        self.shortcut = shortcut
        self.factor = factor

    def forward(self, x):
        return self.factor * self.shortcut(x)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    net = make_net("resnet14", {"width": 4, "num_classes": 3})
    for _ in range(3):
        net(torch.randn(8, 3, 16, 16))
    return net.eval().double()


def objective_of(name, fields, teacher, student):
    (phase,) = method_from(name, fields).phases(teacher, student, 4, Classification())
    return phase.objective.double().eval()


def fading_of(fields, teacher):
    student = method_from("fade_joint_rd", fields).student_of(teacher, without_shortcuts(teacher))
    return objective_of("fade_joint_rd", fields, teacher, student), student


def with_scaled_shortcuts(teacher, factor):
    net = copy.deepcopy(teacher).requires_grad_()
    for place in residual_blocks(net):
        stage, _, name = place.rpartition(".")
        block = net.get_submodule(place)
        scaled = Residual(block.body, Scaled(block.shortcut, factor), block.activation)
        net.get_submodule(stage)._modules[name] = scaled
    return net.eval()


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("progress", [0.0, 0.1, 0.2, 0.25, 0.8])
def test_the_loss_is_jointrds_of_a_student_with_scaled_shortcuts(fields, progress, teacher):
    fading, student = fading_of(fields, teacher)
    scaled = with_scaled_shortcuts(teacher, max(0.0, 1 - 4 * progress))
    expected = objective_of("joint_rd", fields, teacher, scaled)
    expected.connectors.load_state_dict(fading.connectors.state_dict())
    terms, others = (each(IMAGES, LABELS, progress) for each in (fading, expected))
    assert terms.keys() == others.keys()
    for name, term in terms.items():
        assert float(term.detach()) == pytest.approx(float(others[name].detach()), rel=1e-6, abs=1e-12), name
    for objective in (fading, expected):
        sum(objective(IMAGES, LABELS, progress).values()).backward()
    for ours, theirs in zip(student.parameters(), scaled.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("fields", FIELDS)
def test_the_block_that_lost_its_activation_to_the_head_fades_too(fields, teacher):
    """Its view is another block, which the student that ships does not have."""
    fading, student = fading_of(fields, teacher)
    for progress, factor in [(0.05, 0.8), (0.9, 0.0), (0.0, 1.0)]:
        fading(IMAGES, LABELS, progress)
        for net in (student, fading.student):
            factors = [float(block.factor) for block in fading_blocks(net).values()]
            assert factors == pytest.approx([factor] * 6)


def test_the_fields_are_jointrds():
    joint, fade = (method_from(name, {}).model_dump() for name in ("joint_rd", "fade_joint_rd"))
    assert fade == {**joint, "fade_share": 0.25, "order": "together"}


def test_it_goes_on_as_joint_rd():
    assert method_from("fade_joint_rd", {"feature_weight": 0.1}).continued() == method_from(
        "joint_rd", {"feature_weight": 0.1, "hybrid_weight": 0.5}
    )
