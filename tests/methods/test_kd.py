"""Against the formula of the Demystification paper's section 5, written out anew."""

import pytest
import torch

from unskip import make_net
from unskip.edits import without_shortcuts
from unskip.methods import method_from
from unskip.tasks import Classification

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1, 0])


@pytest.mark.parametrize("fields", [{}, {"alpha": 0.3}, {"temperature": 1.5}, {"alpha": 1.0, "temperature": 2.0}])
def test_the_loss(fields):
    alpha, t = fields.get("alpha", 0.9), fields.get("temperature", 4.0)
    torch.manual_seed(0)
    teacher = make_net("resnet14", {"width": 4, "num_classes": 3}).eval()
    student = without_shortcuts(make_net("resnet14", {"width": 4, "num_classes": 3})).eval()
    (phase,) = method_from("kd", fields).phases(teacher, student, 3, Classification())
    phase.objective.eval()
    terms = {name: float(term.detach()) for name, term in phase.objective(IMAGES, LABELS, 0.5).items()}
    p, q = (torch.softmax(net(IMAGES).detach().double() / t, 1) for net in (teacher, student))
    labels = torch.softmax(student(IMAGES).detach().double(), 1)[range(5), LABELS]
    assert terms["kl"] == pytest.approx(float(alpha * t**2 * (p * (p / q).log()).sum() / 5), rel=1e-4)
    assert terms["ce"] == pytest.approx(float((1 - alpha) * -labels.log().mean()), rel=1e-4, abs=1e-7)
