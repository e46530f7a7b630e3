"""What a layer sends on is within the range that is claimed for it, and the claim is no wider than it need be."""

import math

import pytest
import torch
from torch import nn

from unskip import Residual, StagedNet, make_net
from unskip.surgery._ranges import Range, ranges_into_blocks, unchanged_by

ANY, NOT_NEGATIVE, RELU6 = Range(), Range(0.0), Range(0.0, 6.0)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], ANY),
        ([nn.Conv2d(3, 3, 1)], ANY),
        ([nn.ReLU()], NOT_NEGATIVE),
        ([nn.ReLU6()], RELU6),
        ([nn.Hardtanh(-1, 2)], Range(-1, 2)),
        ([nn.Hardtanh(-1, 2), nn.ReLU()], Range(0, 2)),
        ([nn.ReLU6(), nn.Hardtanh(7, 8)], Range(7, 7)),
        ([nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Dropout(), nn.Identity()], NOT_NEGATIVE),
        ([nn.ReLU6(), nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(2)], RELU6),
        ([nn.Hardtanh(1, 2), nn.AvgPool2d(3, 1, 1)], Range(0, 2)),
        ([nn.ReLU6(), nn.AvgPool2d(3, divisor_override=1)], ANY),
        ([nn.LeakyReLU()], ANY),
        ([nn.ReLU(), nn.LeakyReLU(), nn.PReLU()], NOT_NEGATIVE),
        ([nn.ReLU(), nn.BatchNorm2d(3)], ANY),
        ([nn.ReLU(), nn.Upsample(scale_factor=2, mode="bicubic")], ANY),
        ([nn.SiLU()], ANY),
        ([Residual(nn.Conv2d(3, 3, 1), activation=nn.ReLU())], NOT_NEGATIVE),
        ([Residual(nn.Conv2d(3, 3, 1), activation=nn.Sequential(nn.ReLU6(), nn.MaxPool2d(2)))], RELU6),
        ([nn.ReLU(), Residual(nn.Identity())], ANY),
        ([nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), nn.Sequential(nn.Identity())], NOT_NEGATIVE),
    ],
)
def test_ranges(layers, expected):
    net = StagedNet({"stem": nn.Sequential(*layers), "stage1": Residual(nn.Identity())}).eval()
    found = ranges_into_blocks(net)["stage1"]
    assert found == expected
    with torch.no_grad():
        values = net.stem(20 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert Range(float(values.min()), float(values.max())).within(found)


def test_the_blocks_of_nets():
    assert set(ranges_into_blocks(make_net("resnet50", {"width": 4})).values()) == {NOT_NEGATIVE}
    wide = ranges_into_blocks(make_net("wrn-16x2", {"width": 4}))
    assert {place for place, values in wide.items() if values == ANY} == {f"stage{n}.block2" for n in (1, 2, 3)}
    mobile = ranges_into_blocks(make_net("mobilenetv2", {"width_mult": 0.25}))
    assert {place for place, values in mobile.items() if values != ANY} == {"stage1.block1"}, "behind the stem's ReLU6"


def test_a_block_within_a_body_has_a_range_too():
    inner = Residual(nn.Conv2d(3, 3, 1))
    net = StagedNet({"stage1": Residual(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), inner))})
    assert ranges_into_blocks(net) == {"stage1": ANY, "stage1.body.2": NOT_NEGATIVE}


@pytest.mark.parametrize(
    "activation", [nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-2, 1), nn.LeakyReLU(), nn.PReLU()]
)
def test_what_is_unchanged(activation):
    bounds = unchanged_by(activation)
    values = torch.linspace(-9, 9, 181)
    inside = (values >= bounds.low) & (values <= bounds.high)
    with torch.no_grad():
        assert torch.equal(activation(values) == values, inside)


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.Mish(), nn.Conv2d(3, 3, 1)])
def test_what_has_no_such_range(activation):
    assert unchanged_by(activation) is None


def test_within():
    assert RELU6.within(NOT_NEGATIVE)
    assert RELU6.within(RELU6)
    assert not NOT_NEGATIVE.within(RELU6)
    assert not ANY.within(NOT_NEGATIVE)
    assert NOT_NEGATIVE.within(Range(-math.inf, math.inf))
