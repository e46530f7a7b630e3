"""MobileNetV2 of Sandler et al. (2018), in the project's vocabulary: ImageNet form and the Demystification paper's.

Seven stages, one for each row of the paper's table 2. A block is an inverted residual: 1x1 expansion, 3x3 depthwise
convolution with the stride, 1x1 projection without activation; it has a shortcut where the shape stays, and is its body
elsewhere.

:func:`mobilenet_v2` is torchvision's net. :func:`cifar_mobilenet_v2` is the one whose counts the Demystification paper
prints (tables 8 and 9): a 1x1 stem with padding 1 (32 pixels become 34), stage 2 with stride 2 and stage 1, 5 and 7
with stride 1, an expansion at factor 1 too, biases on all convolutions, and a 1x1 convolution as classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from unskip.nets.assembly import Block, assembled, conv_bn, stages
from unskip.nets.layers import renamed, sequence
from unskip.nets.staged_net import Residual, StagedNet

Share = Annotated[float, Field(ge=0, lt=1)]
Multiplier = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# Expansion, channels, blocks of each stage (table 2).
_STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))


def mobilenet_v2(
    *,
    width_mult: Multiplier = 1.0,
    dropout: Share = 0.2,
    num_classes: PositiveInt = 1000,
    in_channels: PositiveInt = 3,
) -> StagedNet:
    """The ImageNet net; ``width_mult`` scales all channels, rounded to multiples of 8 as torchvision does."""
    stem, last = _scaled(32, width_mult), _scaled(1280, max(1.0, width_mult))
    first = sequence(conv_bn(in_channels, stem, 3, stride=2, relu=nn.ReLU6))
    parts, channels = stages(stem, _plan((1, 2, 2, 2, 1, 2, 1), width_mult, bias=False, always_expand=False))
    head = {
        **conv_bn(channels, last, 1, relu=nn.ReLU6),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(dropout),
        "fc": nn.Linear(last, num_classes),
    }
    return assembled({"stem": first, **parts, "head": sequence(head)})


def cifar_mobilenet_v2(
    *, width_mult: Multiplier = 1.0, num_classes: PositiveInt = 100, in_channels: PositiveInt = 3
) -> StagedNet:
    """The net of the Demystification paper for images of 32 pixels; see above for what differs."""
    stem, last = _scaled(32, width_mult), _scaled(1280, max(1.0, width_mult))
    first = {
        "conv": nn.Conv2d(in_channels, stem, kernel_size=1, padding=1),
        "bn": nn.BatchNorm2d(stem),
        "relu": nn.ReLU6(inplace=True),
    }
    parts, channels = stages(stem, _plan((1, 2, 2, 2, 1, 1, 1), width_mult, bias=True, always_expand=True))
    head = {
        **conv_bn(channels, last, 1, bias=True, relu=nn.ReLU6),
        "pool": nn.AdaptiveAvgPool2d(1),
        "fc": nn.Conv2d(last, num_classes, kernel_size=1),
        "flatten": nn.Flatten(),
    }
    return assembled({"stem": sequence(first), **parts, "head": sequence(head)})


def inverted_residual(
    in_channels: int, out_channels: int, stride: int, *, expansion: int, bias: bool, always_expand: bool
) -> nn.Module:
    """The block (table 1): `Residual` where the shape stays, else its body under the same name."""
    hidden = in_channels * expansion
    layers: dict[str, nn.Module] = {}
    if expansion != 1 or always_expand:
        layers = conv_bn(in_channels, hidden, 1, bias=bias, relu=nn.ReLU6, number=1)
    layers |= conv_bn(hidden, hidden, 3, stride, groups=hidden, bias=bias, relu=nn.ReLU6, number=2)
    body = sequence(layers | conv_bn(hidden, out_channels, 1, bias=bias, relu=None, number=3))
    return Residual(body) if stride == 1 and in_channels == out_channels else sequence({"body": body})


def _plan(
    strides: tuple[int, ...], width_mult: float, *, bias: bool, always_expand: bool
) -> Iterator[tuple[Block, int, int, int]]:
    for (expansion, width, count), stride in zip(_STAGES, strides, strict=True):
        block = partial(inverted_residual, expansion=expansion, bias=bias, always_expand=always_expand)
        yield block, count, _scaled(width, width_mult), stride


def _scaled(channels: int, width_mult: float) -> int:
    """A multiple of 8 near ``channels * width_mult``, at most a tenth below it."""
    wanted = channels * width_mult
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision MobileNetV2's state dict under this module's names; unknown names stay as they are."""
    places = {}
    block = 0
    for stage, (expansion, _, count) in enumerate(_STAGES, start=1):
        units = ("conv2", "conv3") if expansion == 1 else ("conv1", "conv2", "conv3")
        for index in range(count):
            block += 1
            theirs, ours = f"features.{block}.conv", f"stage{stage}.block{index + 1}.body"
            for number, unit in enumerate(units[:-1]):
                places[f"{theirs}.{number}.0"] = f"{ours}.{unit}"
                places[f"{theirs}.{number}.1"] = f"{ours}.{unit.replace('conv', 'bn')}"
            places[f"{theirs}.{len(units) - 1}"] = f"{ours}.conv3"
            places[f"{theirs}.{len(units)}"] = f"{ours}.bn3"
    for number, part in ((0, "stem"), (block + 1, "head")):
        places |= {f"features.{number}.0": f"{part}.conv", f"features.{number}.1": f"{part}.bn"}
    places["classifier.1"] = "head.fc"
    return renamed(tensors, places)
