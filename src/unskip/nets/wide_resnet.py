"""Wide residual networks of Zagoruyko and Komodakis (2016), in the project's vocabulary.

WRN-d-k ("WRN-dxk" in the Demystification paper) has a bare 3x3 stem and three stages of (d - 4) / 6 pre-activation
blocks, k times as wide as the stem, 2x and 4x that. A block is BN, ReLU, 3x3, BN, ReLU, dropout, 3x3, with the stride
on the first convolution. Where the shape changes, the shortcut is a bare 1x1 convolution that reads what the first BN
and ReLU give, as the body does. A stage ends with the sum, so its map is one before an activation; the last BN and ReLU
open the head.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import nn

from unskip.nets.assembly import assembled, stages
from unskip.nets.layers import conv, linear_head, sequence
from unskip.nets.staged_net import Residual, StagedNet

Share = Annotated[float, Field(ge=0, lt=1)]


def wide_resnet(
    depth: int,
    widening: int,
    *,
    width: PositiveInt = 16,
    dropout: Share = 0.3,
    num_classes: PositiveInt = 100,
    in_channels: PositiveInt = 3,
) -> StagedNet:
    """WRN with ``depth`` = 6n+4 layers and stages ``widening`` times as wide as the stem, which has ``width`` channels.

    Dropout 0.3 is that of the Demystification paper, section 5.
    """
    assert depth >= 10
    assert (depth - 4) % 6 == 0
    block, count = partial(preactivation_block, dropout=dropout), (depth - 4) // 6
    stem = sequence({"conv": conv(in_channels, width, 3)})
    plan = [(block, count, width * widening << stage, min(2, stage + 1)) for stage in range(3)]
    parts, channels = stages(width, plan)
    head = dict(linear_head(channels, num_classes).named_children())
    head = {"bn": nn.BatchNorm2d(channels), "relu": nn.ReLU(), **head}
    return assembled({"stem": stem, **parts, "head": sequence(head)})


def preactivation_block(in_channels: int, width: int, stride: int, dropout: float) -> nn.Module:
    """WRN's block: `Residual` where the shape stays; else BN and ReLU, which both branches read, in front of one.

    The first ReLU is not in place: once BatchNorm is folded, its input may be the map of a stage.
    """
    entry = {"bn1": nn.BatchNorm2d(in_channels), "relu1": nn.ReLU()}
    body = {
        "conv1": conv(in_channels, width, 3, stride),
        "bn2": nn.BatchNorm2d(width),
        "relu2": nn.ReLU(inplace=True),
        "dropout": nn.Dropout(dropout),
        "conv2": conv(width, width, 3),
    }
    if stride == 1 and in_channels == width:
        return Residual(sequence(entry | body))
    return sequence({**entry, "residual": Residual(sequence(body), conv(in_channels, width, 1, stride))})
