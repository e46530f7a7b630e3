"""Stochastic depth goes with the shortcut that it needs, whoever wrote it; dropout stays."""

import random

import pytest
import torch
from torch import nn

from unskip import parse
from unskip.edits import without_shortcuts, without_shortcuts_exactly
from unskip.nets.fading import set_shortcut_factor
from unskip.surgery import residual_blocks, with_fading_shortcuts, without_faded_shortcuts
from unskip.surgery._stochastic_depth import is_stochastic_depth
from unskip.torchvision_compat import torchvision

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class SkipSamples(nn.Module):
    """Somebody's own, under a name that nobody knows."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training:
            return x
        keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


class SkipBatch(nn.Module):
    def forward(self, x):
        return x * float(random.random() > 0.3) if self.training else x


class Bounded(nn.Module):
    """Something else without parameters."""

    def forward(self, x):
        return x.clamp(-1, 1)


class Block(nn.Module):
    def __init__(self, channels, drop):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.dropout = nn.Dropout(0.1)
        self.drop = drop

    def forward(self, x):
        return torch.relu(x + self.drop(self.conv2(self.dropout(torch.relu(self.conv1(x))))))


def net_with(drop):
    torch.manual_seed(0)
    return parse(
        nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Block(8, drop())),
            *(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), Block(8, drop())),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
        ),
        IMAGES,
    )


def own():
    return SkipSamples(0.3)


def torchvisions():
    return torchvision.ops.StochasticDepth(0.3, "row")


def number_in(net):
    return sum(is_stochastic_depth(module) for module in net.modules())


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (SkipSamples(0.05), True),
        (SkipBatch(), True),
        (torchvision.ops.StochasticDepth(0.1, "row"), True),
        (torchvision.ops.StochasticDepth(0.0, "batch"), True),
        (nn.Dropout(0.5), False),
        (nn.Dropout2d(0.5), False),
        (nn.ReLU(), False),
        (Bounded(), False),
        (nn.Conv2d(8, 8, 1), False),
    ],
)
def test_what_stochastic_depth_is(module, expected):
    states = torch.get_rng_state(), random.getstate()
    assert is_stochastic_depth(module) == expected
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


@pytest.mark.parametrize("drop", [own, torchvisions])
def test_it_goes_with_the_shortcut(drop):
    teacher = net_with(drop)
    plain = without_shortcuts(teacher, keep=["stage1"])
    assert (number_in(teacher), number_in(plain)) == (2, 1)
    assert number_in(plain.stage1.block1) == 1
    assert sum(isinstance(module, nn.Dropout) for module in plain.modules()) == 2
    assert plain.state_dict().keys() == teacher.state_dict().keys()
    cut = without_shortcuts(teacher).train()
    for module in cut.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    maps, _ = cut.features(IMAGES[:1].expand(64, -1, -1, -1))
    assert all(torch.allclose(each, each[:1].expand_as(each), atol=1e-5) for each in maps)


@pytest.mark.parametrize("drop", [own, torchvisions])
def test_it_goes_when_a_shortcut_begins_to_fade(drop):
    teacher = net_with(drop).eval()
    fading = with_fading_shortcuts(teacher, keep=["stage2"]).eval()
    assert number_in(fading) == 1
    assert torch.equal(fading(IMAGES), teacher(IMAGES))
    set_shortcut_factor(fading, 0)
    plain = without_faded_shortcuts(fading)
    assert [name for name, _ in plain.named_modules()] == [
        name for name, _ in without_shortcuts(teacher, keep=["stage2"]).named_modules()
    ]


def test_exact_removal_leaves_it_out():
    teacher = net_with(own).eval()
    plain = without_shortcuts_exactly(teacher)
    assert not residual_blocks(plain)
    assert torch.allclose(plain(IMAGES), teacher(IMAGES), atol=1e-5)


class WrittenOut(Block):
    """Stochastic depth in the block's own forward, where parsing finds what only training does."""

    def forward(self, x):
        y = self.conv2(torch.relu(self.conv1(x)))
        if self.training:
            y = y * (torch.rand(y.shape[0], 1, 1, 1) >= 0.3) / 0.7
        return torch.relu(x + y)


def test_stochastic_depth_written_into_a_forward_goes_too():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), WrittenOut(8, nn.Identity())]
    net = parse(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)), IMAGES)
    assert len(residual_blocks(net)) == 1
    assert number_in(net) == 1
    plain = without_shortcuts(net).train()
    assert number_in(plain) == 0
    answers = plain(IMAGES[:1].expand(64, -1, -1, -1))
    torch.testing.assert_close(answers, answers[:1].expand(64, -1))
