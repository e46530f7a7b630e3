"""Layers that do what they did and carry the input of their block along in further channels."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unskip.nets.layers import conv_settings
from unskip.surgery._ranges import Range, unchanged_by


class CannotCarryError(Exception):
    """Why a block's input cannot be carried to its end."""


@dataclass(frozen=True)
class Channels:
    """Which channels of a map the next layer of the body reads, and which carry the block's input, in its order.

    In front of the body they are the same channels, behind its first convolution they share none.
    """

    own: list[int]
    carried: list[int]

    @property
    def count(self) -> int:
        """The channels of the map."""
        return len({*self.own, *self.carried})


class PartialActivation(nn.Module):
    """An activation for some channels; the others pass as they are.

    ``applies`` is a buffer, bool (1, channels, 1, 1). It follows from the structure and is no part of the state dict.
    """

    applies: Tensor

    def __init__(self, activation: nn.Module, applies: Tensor) -> None:
        super().__init__()
        self.activation = copy.deepcopy(activation)
        if isinstance(getattr(self.activation, "inplace", None), bool):
            self.activation.inplace = False  # type: ignore[assignment]  # what passes is read again
        self.register_buffer("applies", applies, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same shape."""
        return torch.where(self.applies, self.activation(x), x)


def activating(activation: nn.Module, channels: Channels, values: Range, like: Tensor) -> nn.Module:
    """An activation that leaves carried channels of these values as they are; on the device of ``like``."""
    if isinstance(activation, nn.PReLU):
        wider = nn.PReLU(channels.count, init=1.0, device=like.device, dtype=like.dtype)
        wider.weight[channels.own] = activation.weight
        return wider.requires_grad_(activation.weight.requires_grad).eval()
    unchanged = unchanged_by(activation)
    if unchanged is not None and values.within(unchanged):
        return activation
    applies = torch.zeros(1, channels.count, 1, 1, dtype=torch.bool, device=like.device)
    applies[:, channels.own] = True
    return PartialActivation(activation, applies).eval()


def carrying(conv: nn.Conv2d, channels: Channels) -> tuple[nn.Conv2d, Channels]:
    """A convolution that also hands on what its input carries, and the channels of its output.

    Raises `CannotCarryError` where its groups leave no room.
    """
    outputs, groups, count = conv.out_channels, conv.groups, len(channels.carried)
    behind = Channels(list(range(outputs)), list(range(outputs, outputs + count)))
    if channels.own == channels.carried:  # every group copies what it reads, behind what it makes of it
        weight = torch.cat([_by_group(conv.weight, groups), _by_group(_dirac(conv, count, groups), groups)], dim=1)
        weight = weight.flatten(0, 1)
        is_own = ([True] * (outputs // groups) + [False] * (count // groups)) * groups
        behind = Channels(
            [index for index, own in enumerate(is_own) if own], [index for index, own in enumerate(is_own) if not own]
        )
    elif _has_room(conv, channels):
        more = count * groups // conv.in_channels
        weight = torch.cat([conv.weight, _dirac(conv, count, more)])
        groups += more
    elif groups == 1:
        weight = conv.weight.new_zeros(outputs + count, channels.count, *conv.kernel_size)
        weight[:outputs, channels.own] = conv.weight
        weight[outputs:, channels.carried] = _dirac(conv, count)
    else:
        raise CannotCarryError(
            f"groups of {conv.in_channels // groups} channels to {outputs // groups} cannot be continued by groups "
            f"that copy the {count} channels of the block's input"
        )
    bias = conv.weight.new_zeros(outputs + count)
    if conv.bias is not None:
        bias[behind.own] = conv.bias
    return _like(conv, weight, bias, groups), behind


def adding(conv: nn.Conv2d, channels: Channels, projection: nn.Conv2d | None) -> nn.Conv2d:
    """The last convolution of a body, which also adds what its input carries, or a 1x1 projection of that.

    Raises `CannotCarryError` where it has groups.
    """
    if conv.groups > 1:
        raise CannotCarryError("the last convolution has groups, none of which reads all that is carried")
    weight = conv.weight.new_zeros(conv.out_channels, channels.count, *conv.kernel_size)
    weight[:, channels.own] = conv.weight
    bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.clone()
    if projection is None:
        weight[:, channels.carried] += _dirac(conv, conv.out_channels)
    else:
        row, column = (size // 2 for size in conv.kernel_size)
        weight[:, channels.carried, row, column] += projection.weight[:, :, 0, 0]
        bias += 0 if projection.bias is None else projection.bias
    return _like(conv, weight, bias, groups=1)


def _has_room(conv: nn.Conv2d, channels: Channels) -> bool:
    """Whether further groups of the same size can copy what is carried: the only way for groups, cheap for others."""
    fits = len(channels.carried) * conv.groups % conv.in_channels == 0
    return fits and conv.in_channels == conv.out_channels and channels.own == list(range(conv.in_channels))


def _by_group(kernels: Tensor, groups: int) -> Tensor:
    return kernels.unflatten(0, (groups, -1))


def _dirac(conv: nn.Conv2d, count: int, groups: int = 1) -> Tensor:
    """Kernels of the convolution's size that hand ``count`` channels on: (count, count / groups, height, width)."""
    return nn.init.dirac_(conv.weight.new_empty(count, count // groups, *conv.kernel_size), groups)


def _like(conv: nn.Conv2d, weight: Tensor, bias: Tensor, groups: int) -> nn.Conv2d:
    """A convolution with these kernels, and the stride, padding and dilation of another."""
    channels = {"in_channels": weight.shape[1] * groups, "out_channels": weight.shape[0], "groups": groups}
    carrier = nn.Conv2d(**conv_settings(conv, **channels, device="meta"))
    carrier.weight = nn.Parameter(weight)
    carrier.bias = nn.Parameter(bias)
    return carrier.requires_grad_(conv.weight.requires_grad).eval()
