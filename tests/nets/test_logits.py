"""What returns probabilities is refused before anything is trained with it."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import UnskipError, parse

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Body(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )


class Ending(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.body, self.end = Body(), end

    def forward(self, x):
        return self.end(self.body(x))


class Functional(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.body, self.function = Body(), end

    def forward(self, x):
        return self.function(self.body(x))


class OnlyInEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.end = Body(), _OnlyInEval()

    def forward(self, x):
        return self.end(self.body(x))


class _OnlyInEval(nn.Softmax):
    """A layer of its own kind, which stays whole."""

    def __init__(self):
        super().__init__(dim=1)

    def forward(self, x):
        return x if self.training else super().forward(x)


PROBABILITIES = {
    "module": lambda: Ending(nn.Softmax(dim=1)),
    "module without a dimension": lambda: nn.Sequential(*Body(), nn.Softmax(dim=-1)),
    "function": lambda: Functional(lambda z: F.softmax(z, dim=1)),
    "torch": lambda: Functional(lambda z: torch.softmax(z, 1)),
    "method": lambda: Functional(lambda z: z.softmax(1)),
    "then a view": lambda: Functional(lambda z: torch.softmax(z, 1).view(-1, 5)),
    "by hand": lambda: Functional(lambda z: z.exp() / z.exp().sum(1, keepdim=True)),
    "sigmoid": lambda: Ending(nn.Sigmoid()),
    "sigmoid method": lambda: Functional(lambda z: z.sigmoid()),
    "in eval mode only": OnlyInEval,
}


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("ending", PROBABILITIES)
def test_probabilities_are_refused(ending):
    with pytest.raises(UnskipError, match="must return logits, but it"):
        parse(PROBABILITIES[ending](), IMAGES)


@pytest.mark.parametrize("end", [nn.LogSoftmax(dim=1), lambda z: F.log_softmax(z, dim=1)], ids=["module", "function"])
def test_a_log_softmax_is_harmless_and_said(end):
    made = Ending(end) if isinstance(end, nn.Module) else Functional(end)
    with pytest.warns(UserWarning, match="ends in a log-softmax"):
        net = parse(made, IMAGES)
    logits, found, labels = made.body(IMAGES), net(IMAGES), torch.tensor([1, 3])
    assert torch.allclose(F.cross_entropy(found, labels), F.cross_entropy(logits, labels))
    assert torch.allclose((found / 4).softmax(1), (logits / 4).softmax(1))


@pytest.mark.parametrize("end", [nn.Identity(), nn.ReLU(), nn.Linear(5, 5), nn.Hardtanh()])
def test_other_endings_are_logits(end):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(Ending(end), IMAGES)


def test_a_gate_before_the_head_is_no_ending():
    parse(nn.Sequential(*list(Body())[:-1], nn.Sigmoid(), nn.Linear(8, 5)), IMAGES)
