"""How a convolution of a body hands on the maps that it reads, besides computing with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unskip.surgery._ranges import unchanged_by
from unskip.surgery.fold_batchnorm import fused

_LINEAR_FROM = 3.0  # SiLU, GELU and Hardswish hand on what is larger, nearly or wholly


@dataclass(frozen=True)
class Convolution:
    """A convolution of a body and what is right behind it."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None
    activation: nn.Module | None


def inputs_of(body: nn.Module, conv: nn.Conv2d, maps_in: Sequence[Tensor]) -> list[Tensor]:
    """What a convolution of a body reads, batch by batch."""
    inputs: list[Tensor] = []
    # the next layer may work in place
    handle = conv.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].clone()))
    try:
        for x in maps_in:
            body(x.clone())
    finally:
        handle.remove()
    return inputs


def carry(
    body: nn.Module,
    convolution: Convolution,
    after: nn.Conv2d,
    carried: list[int],
    room: float,
    share: float,
    maps_in: Sequence[Tensor],
) -> list[int]:
    """Let a convolution hand on the channels ``carried`` of its input; returns the channels of its output that do.

    No more than ``room`` of its output channels carry: where that is less than there are to carry, those do from which
    the others follow best. Besides, carriers go on computing ``share`` of what they did, the others all of it.
    """
    conv, norm = convolution.conv, convolution.norm
    maps = inputs_of(body, conv, maps_in)
    both = conv if norm is None else fused(conv, norm)
    weight = both.weight.detach().clone()
    bias = weight.new_zeros(len(weight)) if both.bias is None else both.bias.detach().clone()
    handed_on = torch.cat([x[:, carried] for x in maps])
    if conv.groups > 1:
        carriers = carried
    else:
        count = places_to_carry(conv, room)
        if count < len(carried):
            chosen = telling_channels(handed_on, count)
            carried, handed_on = [carried[place] for place in chosen], handed_on[:, chosen]
        carriers = sorted(_least_important(body, after, maps_in)[: len(carried)])
    moved = conv.bias is not None or norm is not None
    scale, offset = _into_reach(handed_on, convolution.activation if moved else None)
    row, column = (size // 2 for size in conv.kernel_size)
    weight[carriers] *= share
    bias[carriers] = share * bias[carriers] + offset
    for target, source, factor in zip(carriers, carried, scale, strict=True):
        weight[target, source % weight.shape[1], row, column] += factor
    write(conv, norm, weight, bias, maps)
    return carriers


def places_to_carry(conv: nn.Conv2d, room: float) -> int:
    """How many output channels of an ungrouped convolution may carry."""
    return max(1, round(room * conv.out_channels))


def telling_channels(maps: Tensor, count: int) -> list[int]:
    """The channels from which the others follow best, linearly: each explains most of what those before it left."""
    unexplained = torch.cov(maps.transpose(0, 1).flatten(1)).cpu().double()
    least = 1e-12 * unexplained.diagonal().max().clamp_min(1e-12)
    chosen: list[int] = []
    for _ in range(count):
        gains = unexplained.square().sum(0) / unexplained.diagonal().clamp_min(least)
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        column = unexplained[:, best].clone()
        unexplained -= torch.outer(column, column) / column[best].clamp_min(least)
    return chosen


def write(conv: nn.Conv2d, norm: nn.BatchNorm2d | None, weight: Tensor, bias: Tensor, maps: Sequence[Tensor]) -> None:
    """Let a convolution and its BatchNorm compute with this kernel and bias, the statistics being those of ``maps``."""
    conv.weight.copy_(weight)
    if norm is None:
        if conv.bias is not None:
            conv.bias.copy_(bias)
        return
    if conv.bias is not None:
        conv.bias.zero_()
    answers = torch.cat([conv(x) for x in maps])
    mean, variance = answers.mean((0, 2, 3)), answers.var((0, 2, 3), unbiased=False)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # A channel that is nearly constant must not be blown up by BatchNorm once it varies.
    norm.running_var.copy_(variance.clamp_min(1e-3 * variance.mean().clamp_min(norm.eps)))
    norm.running_mean.copy_(mean)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(mean + bias)


def _least_important(body: nn.Module, after: nn.Conv2d, maps_in: Sequence[Tensor]) -> list[int]:
    """The channels that the next convolution reads, those first that move its sums least."""
    maps = torch.cat(inputs_of(body, after, maps_in))
    kernels = after.weight.square().sum((2, 3))
    kernels = kernels.unflatten(0, (after.groups, -1)).sum(1).flatten()
    return [int(place) for place in (kernels * maps.var((0, 2, 3))).argsort()]


def _into_reach(maps: Tensor, activation: nn.Module | None) -> tuple[Tensor, Tensor]:
    """The scale and the offset of each channel that take it to where an activation hands it on as it is."""
    count = maps.shape[1]
    one, zero = maps.new_ones(count), maps.new_zeros(count)
    if activation is None:
        return one, zero
    low, high = maps.amin((0, 2, 3)), maps.amax((0, 2, 3))
    reach = unchanged_by(activation)
    floor, ceiling = (_LINEAR_FROM, float("inf")) if reach is None else reach
    scale = ((ceiling - floor) / (high - low).clamp_min(1e-6)).clamp_max(1.0)
    offset = (floor - scale * low).clamp_min(0.0) if floor > -float("inf") else zero
    return scale, offset
