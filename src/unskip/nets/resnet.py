"""Residual networks of He et al., "Deep Residual Learning for Image Recognition" (2016), in the project's vocabulary.

Two families: the CIFAR nets with 6n+2 layers (section 4.2) and the ImageNet nets (table 1), the latter also in the
form that is usual on small images (3x3 stem with stride 1, no pooling) and with the head of Stagewise KD. Bottlenecks
carry their stride on the 3x3 convolution, as torchvision's do and as the counts of EKD-DDNN (table 2) need. Projections
are a 1x1 convolution and BatchNorm wherever the shape changes (option B).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from unskip.nets.assembly import Block, assembled, conv_bn, stages
from unskip.nets.layers import linear_head, renamed, sequence
from unskip.nets.staged_net import Residual, StagedNet

Blocks = Annotated[int, Field(gt=0, le=1000)]


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return sequence(conv_bn(in_channels, out_channels, 1, stride, relu=None))


def basic_block(in_channels: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions (figure 5, left)."""
    body = conv_bn(in_channels, width, 3, stride, number=1) | conv_bn(width, width, 3, relu=None, number=2)
    return Residual(sequence(body), _projection(in_channels, width, stride), nn.ReLU(inplace=True))


def bottleneck_block(in_channels: int, width: int, stride: int) -> Residual:
    """1x1, 3x3 and 1x1 convolutions, the last four times as wide (figure 5, right); the stride is on the 3x3."""
    body = conv_bn(in_channels, width, 1, number=1) | conv_bn(width, width, 3, stride, number=2)
    body |= conv_bn(width, 4 * width, 1, relu=None, number=3)
    return Residual(sequence(body), _projection(in_channels, 4 * width, stride), nn.ReLU(inplace=True))


def cifar_resnet(
    depth: int, *, width: PositiveInt = 16, num_classes: PositiveInt = 10, in_channels: PositiveInt = 3
) -> StagedNet:
    """The CIFAR net with ``depth`` = 6n+2 layers: three stages of n basic blocks, ``width``, 2x and 4x as wide."""
    assert depth >= 8
    assert (depth - 2) % 6 == 0
    return resnet(
        basic_block,
        blocks=[(depth - 2) // 6] * 3,
        small_images=True,
        width=width,
        num_classes=num_classes,
        in_channels=in_channels,
    )


def resnet(
    block: Block,
    *,
    blocks: Annotated[Sequence[Blocks], Field(min_length=1, max_length=16)] = (2, 2, 2, 2),
    small_images: bool = False,
    average_max_head: bool = False,
    width: PositiveInt = 64,
    num_classes: PositiveInt = 1000,
    in_channels: PositiveInt = 3,
) -> StagedNet:
    """The ImageNet net with ``blocks[s]`` blocks in stage s; ``width``, 2x, 4x .. as wide from stage to stage.

    The max-pool opens stage 1, as in the paper's table 1. ``small_images``: a 3x3 stem with stride 1 and no pooling.
    ``average_max_head``: the head of Stagewise KD (table 1): average and maximum pooling, 256 hidden units.
    """
    stem = sequence(conv_bn(in_channels, width, 3) if small_images else conv_bn(in_channels, width, 7, stride=2))
    pools = {} if small_images else {1: nn.MaxPool2d(kernel_size=3, stride=2, padding=1)}
    plan = [(block, count, width << stage, min(2, stage + 1)) for stage, count in enumerate(blocks)]
    parts, channels = stages(width, plan, pools)
    head = _average_max_head if average_max_head else linear_head
    return assembled({"stem": stem, **parts, "head": head(channels, num_classes)})


class AverageMaxPool(nn.Module):
    """Global average and global maximum side by side: (batch, C, height, width) to (batch, 2 C, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.maximum = nn.AdaptiveMaxPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, C, height, width) to (batch, 2 C, 1, 1), the averages first."""
        return torch.cat([self.average(x), self.maximum(x)], dim=1)


def _average_max_head(channels: int, num_classes: int) -> nn.Sequential:
    """The head of Stagewise KD: average and maximum pooling, 256 hidden units, ReLU (what its table 1 counts)."""
    layers = {
        "pool": AverageMaxPool(),
        "flatten": nn.Flatten(),
        "hidden": nn.Linear(2 * channels, 256),
        "relu": nn.ReLU(inplace=True),
        "fc": nn.Linear(256, num_classes),
    }
    return sequence(layers)


_OF_PROJECTIONS = {
    f"{theirs}.{number}": f"shortcut.{layer}"
    for theirs in ("downsample", "shortcut")
    for number, layer in enumerate(("conv", "bn"))
}


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision ResNet's state dict under this module's names; unknown names stay as they are.

    Some of the usual ResNets for CIFAR call the last layer ``linear`` and a projection ``shortcut``.
    """
    places = {"conv1": "stem.conv", "bn1": "stem.bn", "fc": "head.fc", "linear": "head.fc"}
    for name in tensors:
        place = name.rpartition(".")[0]
        match = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", place)
        if match:
            layer = _OF_PROJECTIONS.get(match[3], f"body.{match[3]}")
            places[place] = f"stage{match[1]}.block{int(match[2]) + 1}.{layer}"
    return renamed(tensors, places)
