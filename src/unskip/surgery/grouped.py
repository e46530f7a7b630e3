"""Grouped convolutions in the place of dense ones (Demystification, section 5 and figure 3)."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

from pydantic import PositiveInt
from torch import nn

from unskip.errors import UnskipError
from unskip.nets.dirac import DiracConv2d
from unskip.nets.layers import initialise
from unskip.nets.staged import StagedNet

__all__ = ["with_grouped_convs"]

# What may stand between a spatial convolution and the 1x1 that mixes its groups.
_BETWEEN = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU, nn.Dropout, nn.Identity)


def with_grouped_convs(
    net: StagedNet, *, groups: PositiveInt | None = None, channels_per_group: PositiveInt | None = None
) -> StagedNet:
    """A copy of a network whose blocks convolve in so many groups (the paper's gN), or groups of so many channels (GN).

    Every dense 3x3 convolution of the stages becomes the paper's unit: a 3x3 grouped convolution that keeps the
    channels and carries the stride, BatchNorm, ReLU, and a 1x1 convolution to the channels that were there. Where a 1x1
    convolution follows already, as in bottlenecks and MobileNetV2, or where the convolution is grouped already, only
    the groups change. The stem, the convolution that reads the image, and all 1x1 convolutions stay. The new layers
    have fresh weights; everything else keeps its own.

    Raises `UnskipError` unless one of the two numbers is given and divides the channels of every such convolution.
    """
    if (groups is None) == (channels_per_group is None):
        raise UnskipError("with_grouped_convs: give groups or channels_per_group, one of the two")
    if (groups or channels_per_group or 0) < 1:
        raise UnskipError(f"with_grouped_convs: {groups or channels_per_group or 0} is no number of groups or channels")
    edited = copy.deepcopy(net)
    for name in _spatial_convs(edited):
        parent, _, child = name.rpartition(".")
        conv = edited.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        if isinstance(conv, DiracConv2d):
            raise UnskipError(f"with_grouped_convs: {name} is a Dirac convolution; group first, then make it Dirac")
        count = groups or _num_groups(name, conv.in_channels, channels_per_group or 1)
        _check_divides(name, conv.in_channels, count)
        container = edited.get_submodule(parent)
        if conv.groups > 1 or _is_mixed(container, child):
            _check_divides(name, conv.out_channels, count)
            made: nn.Module = _conv(conv, conv.out_channels, count, bias=conv.bias is not None)
        else:
            made = _unit(conv, count)
        initialise(made)
        setattr(container, child, made.train(conv.training))
    arguments = {"groups": groups, "channels_per_group": channels_per_group}
    named = {key: value for key, value in arguments.items() if value is not None}
    edited.spec = net.spec.edited("with_grouped_convs", **named) if net.spec else None
    return edited


def _spatial_convs(net: StagedNet) -> list[str]:
    """The places of the convolutions in the stages that look at more than one pixel, but for the net's first one."""
    convs = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    spatial = [
        name
        for name, module in convs[1:]
        if name.startswith("stage") and ".shortcut" not in name and max(module.kernel_size) > 1
    ]
    if not spatial:
        raise UnskipError("with_grouped_convs: the stages have no convolution larger than 1x1")
    return spatial


def _num_groups(name: str, channels: int, channels_per_group: int) -> int:
    if channels % channels_per_group:
        raise UnskipError(f"with_grouped_convs: {name} has {channels} channels, no multiple of {channels_per_group}")
    return channels // channels_per_group


def _check_divides(name: str, channels: int, groups: int) -> None:
    if channels % groups:
        raise UnskipError(
            f"with_grouped_convs: the {channels} channels of {name} cannot be divided into {groups} groups"
        )


def _is_mixed(container: nn.Module, child: str) -> bool:
    """Whether a 1x1 convolution follows, with nothing but normalisation and activation between."""
    if not isinstance(container, nn.Sequential):
        return False
    names = list(container._modules)
    for name in names[names.index(child) + 1 :]:
        module = container._modules[name]
        if isinstance(module, nn.Conv2d):
            return module.kernel_size == (1, 1)
        if not isinstance(module, _BETWEEN):
            return False
    return False


def _unit(conv: nn.Conv2d, groups: int) -> nn.Sequential:
    place: dict[str, Any] = {"device": conv.weight.device, "dtype": conv.weight.dtype}
    layers = OrderedDict(
        conv=_conv(conv, conv.in_channels, groups, bias=False),
        bn=nn.BatchNorm2d(conv.in_channels, **place),
        relu=nn.ReLU(inplace=True),
        pointwise=nn.Conv2d(conv.in_channels, conv.out_channels, kernel_size=1, bias=conv.bias is not None, **place),
    )
    return nn.Sequential(layers)


def _conv(conv: nn.Conv2d, out_channels: int, groups: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(
        conv.in_channels,
        out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        groups=groups,
        bias=bias,
        padding_mode=conv.padding_mode,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
