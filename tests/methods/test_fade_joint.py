"""`studies/fading/fade_joint.py`, which a page of results names."""

import importlib.util
from pathlib import Path

import pytest
import torch

from unskip import make_net
from unskip.methods.joint_rd import JointRD
from unskip.surgery import residual_blocks, without_shortcuts
from unskip.tasks import Classification

FILE = Path(__file__).parents[2] / "studies" / "fading" / "fade_joint.py"


@pytest.fixture(scope="module")
def fade_joint():
    spec = importlib.util.spec_from_file_location("fade_joint", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FadeJoint


def test_it_is_joint_rd_of_a_student_whose_shortcuts_fade(fade_joint):
    torch.manual_seed(0)
    teacher = make_net("resnet8", {"width": 4}).eval()
    images, labels = torch.randn(6, 3, 16, 16), torch.arange(6)
    student = fade_joint().student_of(teacher, without_shortcuts(teacher))
    (phase,) = fade_joint().phases(teacher, student, 4, Classification(num_classes=10))
    student.eval()
    assert torch.equal(student(images), teacher(images))
    for progress in (0.3, 1.0):
        terms = phase.objective(images, labels, progress)
    plain = without_shortcuts(teacher).requires_grad_()
    (cut,) = JointRD().phases(teacher, plain, 4, Classification(num_classes=10))
    plain.eval()
    usual = cut.objective(images, labels, 1.0)
    assert terms.keys() == usual.keys()
    assert all(torch.allclose(terms[name], usual[name], rtol=1e-5) for name in usual)
    (deployed,) = fade_joint().deployables(student, [images]).values()
    assert not residual_blocks(deployed)
    phase.objective(images, labels, 0.0)
    assert torch.equal(student(images), teacher(images))
