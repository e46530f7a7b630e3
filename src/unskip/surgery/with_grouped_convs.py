"""Grouped convolutions in the place of dense ones (Demystification, section 5 and figure 3)."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import nn

from unskip.errors import UnskipError
from unskip.nets.dirac import DiracConv2d
from unskip.nets.functions import is_activation
from unskip.nets.layers import conv_settings, initialise, place_of, sequence
from unskip.nets.staged_net import StagedNet
from unskip.surgery._blocks import convs_of_bodies
from unskip.surgery._edit import edit

# What may stand, besides activations, between a spatial convolution and the 1x1 that mixes its groups.
_BETWEEN = (nn.BatchNorm2d, nn.Dropout, nn.Identity)


@edit
def with_grouped_convs(
    net: StagedNet, *, groups: PositiveInt | None = None, channels_per_group: PositiveInt | None = None
) -> StagedNet:
    """A copy whose blocks convolve in that many groups (the paper's gN), or in groups of that many channels (GN).

    Every dense 3x3 convolution of the stages becomes the paper's unit: a 3x3 grouped convolution that keeps the
    channels and carries the stride, BatchNorm, ReLU, and a 1x1 convolution to the channels that were there. Where a 1x1
    convolution follows already, as in bottlenecks and MobileNetV2, or where the convolution is grouped already, only
    the groups change. The stem, the convolution that reads the image, and all 1x1 convolutions stay. The new layers
    have fresh weights; everything else keeps its own.

    Raises `UnskipError` unless one of the two numbers is given and divides the channels of every such convolution.
    """
    if (groups is None) == (channels_per_group is None):
        raise UnskipError("give groups or channels_per_group, one of the two")
    first = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    convs = convs_of_bodies(net)
    spatial = {place: conv for place, conv in convs.items() if conv is not first and max(conv.kernel_size) > 1}
    if not spatial:
        raise UnskipError("the stages have no convolution larger than 1x1")
    for place, conv in spatial.items():
        if isinstance(conv, DiracConv2d):
            raise UnskipError(f"{place} is a Dirac convolution; group first, then make it Dirac")
        count = groups or _num_groups(place, conv.in_channels, channels_per_group or 1)
        _check_divides(place, conv.in_channels, count)
        container, _, name = place.rpartition(".")
        if conv.groups > 1 or _is_mixed(net.get_submodule(container), name):
            _check_divides(place, conv.out_channels, count)
            grouped: nn.Module = nn.Conv2d(**conv_settings(conv, groups=count))
        else:
            grouped = _unit(conv, count)
        initialise(grouped)
        net.set_submodule(place, grouped.train(conv.training))
    return net


def _num_groups(place: str, channels: int, channels_per_group: int) -> int:
    if channels % channels_per_group:
        raise UnskipError(f"{place} has {channels} channels, no multiple of {channels_per_group}")
    return channels // channels_per_group


def _check_divides(place: str, channels: int, groups: int) -> None:
    if channels % groups:
        raise UnskipError(f"the {channels} channels of {place} cannot be divided into {groups} groups")


def _is_mixed(container: nn.Module, child: str) -> bool:
    """Whether a 1x1 convolution follows, with nothing but normalisation and activation between."""
    if not isinstance(container, nn.Sequential):
        return False
    following = list(container)[list(container._modules).index(child) + 1 :]
    for module in following:
        if isinstance(module, nn.Conv2d):
            return module.kernel_size == (1, 1)
        if not isinstance(module, _BETWEEN) and not is_activation(module):
            return False
    return False


def _unit(conv: nn.Conv2d, groups: int) -> nn.Sequential:
    place = place_of(conv.weight)
    layers = {
        "conv": nn.Conv2d(**conv_settings(conv, out_channels=conv.in_channels, groups=groups, bias=False)),
        "bn": nn.BatchNorm2d(conv.in_channels, **place),
        "relu": nn.ReLU(inplace=True),
        "pointwise": nn.Conv2d(conv.in_channels, conv.out_channels, kernel_size=1, bias=conv.bias is not None, **place),
    }
    return sequence(layers)
