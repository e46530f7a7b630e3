"""CMSIS-NN's convolutions in PyTorch, all channels at once; ExecuTorch's own forms go channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def conv2d(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    input_offset: int,
    output_offset: int,
    multipliers: Tensor,
    shifts: Tensor,
    least: int,
    most: int,
    scratch: Tensor,
) -> Tensor:
    """``arm_convolve_s8``: maps (N, C, H, W) by weights (out, height, width, in), both int8."""
    kernels = weight.permute(0, 3, 1, 2)
    sums = _sums(maps, kernels, bias, stride, padding, dilation, input_offset, maps.shape[1] // kernels.shape[1])
    return (requantized(sums, multipliers, shifts) + output_offset).clamp(least, most)


def depthwise_conv2d(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    depth_multiplier: int,
    input_offset: int,
    output_offset: int,
    multipliers: Tensor,
    shifts: Tensor,
    least: int,
    most: int,
    scratch: Tensor,
) -> Tensor:
    """``arm_depthwise_conv_s8``: maps (N, C, H, W) by weights (1, height, width, out), both int8."""
    kernels = weight.permute(3, 0, 1, 2)
    sums = _sums(maps, kernels, bias, stride, padding, dilation, input_offset, maps.shape[1])
    return (requantized(sums, multipliers, shifts) + output_offset).clamp(least, most)


KERNELS: dict[str, Callable[..., Any]] = {
    "cortex_m::quantized_conv2d": conv2d,
    "cortex_m::quantized_depthwise_conv2d": depthwise_conv2d,
}
"""By the names that programs call them by."""


def requantized(sums: Tensor, multipliers: Tensor, shifts: Tensor) -> Tensor:
    """``arm_nn_requantize`` of (N, C, H, W): ``sums * multiplier * 2 ** (shift - 31)`` by channel, rounded."""
    multiplier, shift = (each.long().view(1, -1, 1, 1) for each in (multipliers, shifts))
    product = ((sums.long() << shift.clamp_min(0)) * multiplier + (1 << 30)) >> 31
    right = (-shift).clamp_min(0)
    mask = (1 << right) - 1
    result = product >> right
    return result + ((product & mask) > (mask >> 1) + (result < 0))


def _sums(
    maps: Tensor,
    kernels: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    offset: int,
    groups: int,
) -> Tensor:
    """What a convolution adds up, in 32 bits."""
    shifted, weights = maps.int() + offset, kernels.contiguous().int()
    added = None if bias is None else bias.int()
    return F.conv2d(shifted, weights, added, tuple(stride), tuple(padding), tuple(dilation), groups)
