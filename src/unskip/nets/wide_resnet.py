"""Wide residual networks of Zagoruyko and Komodakis (2016), in the project's vocabulary.

WRN-d-k ("WRN-dxk" in the Demystification paper) has a bare 3x3 stem and three stages of (d - 4) / 6 pre-activation
blocks, k times as wide as the stem, 2x and 4x that. A block is BN, ReLU, 3x3, BN, ReLU, dropout, 3x3, with the stride
on the first convolution. Where the shape changes, the shortcut is a bare 1x1 convolution that reads what the first BN
and ReLU give, as the body does. A stage ends with the sum, so its map is one before an activation; the last BN and ReLU
open the head.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import nn

from unskip.nets.layers import conv, initialise, linear_head
from unskip.nets.staged import Residual, StagedNet

__all__ = ["preactivation_block", "wide_resnet"]

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
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(OrderedDict(conv=conv(in_channels, width, 3))))
    channels = width
    for stage in range(3):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for index in range((depth - 4) // 6):
            stride = 2 if stage > 0 and index == 0 else 1
            out_channels = width * widening << stage
            layers[f"block{index + 1}"] = preactivation_block(channels, out_channels, stride, dropout)
            channels = out_channels
        parts[f"stage{stage + 1}"] = nn.Sequential(layers)
    head = linear_head(channels, num_classes)
    parts["head"] = nn.Sequential(
        OrderedDict([("bn", nn.BatchNorm2d(channels)), ("relu", nn.ReLU()), *head.named_children()])
    )
    net = StagedNet(parts)
    initialise(net)
    return net


def preactivation_block(in_channels: int, width: int, stride: int, dropout: float) -> nn.Module:
    """WRN's block: `Residual` where the shape stays; else BN and ReLU, which both branches read, in front of one.

    The first ReLU is not in place: once BatchNorm is folded, its input may be the map of a stage.
    """
    entry = OrderedDict(bn1=nn.BatchNorm2d(in_channels), relu1=nn.ReLU())
    body = OrderedDict(
        conv1=conv(in_channels, width, 3, stride),
        bn2=nn.BatchNorm2d(width),
        relu2=nn.ReLU(inplace=True),
        dropout=nn.Dropout(dropout),
        conv2=conv(width, width, 3),
    )
    if stride == 1 and in_channels == width:
        return Residual(nn.Sequential(OrderedDict([*entry.items(), *body.items()])))
    residual = Residual(nn.Sequential(body), conv(in_channels, width, 1, stride))
    return nn.Sequential(OrderedDict([*entry.items(), ("residual", residual)]))
