"""What lets a loss compare maps of different shapes: dropped after training, part of no network that ships."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from unskip.nets.assembly import conv_bn
from unskip.nets.layers import initialise, sequence
from unskip.nets.shapes import stage_shapes
from unskip.nets.staged_net import StagedNet


def connector(in_channels: int, out_channels: int) -> nn.Sequential:
    """A learned map from student channels to teacher channels: 1x1 convolution and BatchNorm.

    (batch, in_channels, height, width) to (batch, out_channels, height, width).
    """
    made = sequence(conv_bn(in_channels, out_channels, 1, relu=None))
    initialise(made)
    return made


def connectors(student: StagedNet, teacher: StagedNet, taps: Sequence[int]) -> nn.ModuleList:
    """For each tapped stage what leads from the student's channels to the teacher's.

    A :func:`connector` where their numbers differ, an identity elsewhere; on the student's device.
    """
    ours, theirs = stage_shapes(student), stage_shapes(teacher)
    layers = nn.ModuleList(
        nn.Identity() if ours[tap][0] == theirs[tap][0] else connector(ours[tap][0], theirs[tap][0]) for tap in taps
    )
    return layers.to(next(student.parameters()).device)


def to_one_size(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (batch, channels, height, width) of one height and width: the larger is average-pooled adaptively."""
    height, width = (min(sides) for sides in zip(one.shape[2:], other.shape[2:], strict=True))
    return _pooled(one, height, width), _pooled(other, height, width)


def _pooled(maps: Tensor, height: int, width: int) -> Tensor:
    return maps if maps.shape[2:] == (height, width) else F.adaptive_avg_pool2d(maps, (height, width))
