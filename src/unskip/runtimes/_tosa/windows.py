"""Sums and maxima over windows and rows: convolutions, pooling, products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unskip.runtimes._tosa.lowering import Integers, Lowered, Node, Range, lowers
from unskip.runtimes._tosa.scaling import reciprocal, scaling

_EXACT_FLOAT32 = 2**24  # all integers up to here are float32; so no order of additions rounds
_LOWEST = -128


def on_maps(compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of maps (N, C, H, W) as one of (images, batch, height, width, channels)."""

    def on_images(maps: Tensor) -> Tensor:
        result = compute(maps.flatten(0, 1).permute(0, 3, 1, 2))
        return result.permute(0, 2, 3, 1).unflatten(0, maps.shape[:2])

    return on_images


def _padding(node: Node) -> list[int]:
    """As torch has it: left, right, top, bottom."""
    top, bottom, left, right = node.attribute("Pad")
    return [left, right, top, bottom]


@lowers("CONV2D", "DEPTHWISE_CONV2D", "TRANSPOSE_CONV2D")
def convolution(node: Node) -> Lowered:
    """Sums of products, the zero points taken off, and a bias."""
    zero = node.scalar(3)
    weight = node.integers(1) - node.scalar(4)
    groups, axes = 1, (0, 3, 1, 2)
    if node.operation.name == "DEPTHWISE_CONV2D":  # (height, width, channels, multiplier)
        groups = weight.shape[2]
        weight, axes = weight.reshape(*weight.shape[:2], -1, 1), (2, 3, 0, 1)
    weight = weight.transpose(axes)  # (to, from, height, width)
    bias = np.broadcast_to(node.integers(2), (len(weight),))
    reach = _reach(node.range(), zero, weight, groups)
    total = reach.sum(axis=1) + abs(bias)
    range_ = Range(-total, total).checked("INT32")
    if int(total.max()) <= _EXACT_FLOAT32:
        pieces, number = [slice(None)], torch.float32
    elif groups == 1 and int(reach.max()) <= _EXACT_FLOAT32:
        pieces, number = _pieces(reach), torch.float32
    else:
        pieces, number = [slice(None)], torch.float64
    weights = [torch.from_numpy(np.ascontiguousarray(weight[:, piece])).to(number) for piece in pieces]
    weights = [each.contiguous(memory_format=torch.channels_last) for each in weights]
    biases = torch.from_numpy(np.array(bias)).to(number if len(pieces) == 1 else torch.float64)
    convolved = _transposed(node) if node.operation.name == "TRANSPOSE_CONV2D" else _convolved(node, groups)

    def compute(maps: Tensor) -> Tensor:
        moved = maps.to(number, copy=True)
        if zero:
            moved.sub_(zero)
        if len(weights) == 1:
            return convolved(moved, weights[0], biases)
        sums = (convolved(moved[:, piece], each, None) for piece, each in zip(pieces, weights, strict=True))
        return sum(sums, start=biases[:, None, None])

    return Lowered(on_maps(compute), range_)


def _reach(source: Range, zero: int, weight: Integers, groups: int) -> Integers:
    """The largest absolute sums of products by (to, from)."""
    reach = source.reach(zero)
    if reach.ndim and groups > 1:
        reach = np.repeat(reach, len(weight) // groups)[:, None]
    result: Integers = abs(weight).sum(axis=(2, 3)) * reach
    return result


def _pieces(reach: Integers) -> list[slice]:
    """Stretches of input channels whose sums float32 holds."""
    pieces, start = [], 0
    while start < reach.shape[1]:
        sums = reach[:, start:].cumsum(axis=1).max(axis=0)
        count = int(np.searchsorted(sums, _EXACT_FLOAT32, side="right"))
        pieces.append(slice(start, start + count))
        start += count
    return pieces


def _convolved(node: Node, groups: int) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    stride, dilation, padding = node.attribute("Stride"), node.attribute("Dilation"), _padding(node)
    left, right, top, bottom = padding
    even = left == right and top == bottom

    def convolved(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded = maps if even else functional.pad(maps, padding)
        return functional.conv2d(padded, weight, bias, stride, (top, left) if even else 0, dilation, groups)

    return convolved


def _transposed(node: Node) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    stride = node.attribute("Stride")
    top, bottom, left, right = node.attribute("OutPad")

    def convolved(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        full = functional.conv_transpose2d(maps, weight.transpose(0, 1), None, stride)
        result = functional.pad(full, (left, right, top, bottom))
        return result if bias is None else result + bias[:, None, None]

    return convolved


@lowers("MAX_POOL2D")
def max_pool(node: Node) -> Lowered:
    """The largest number of a window; what is beyond the edge does not count."""
    if node.output.type != "INT8":
        node.unknown(f"of {node.output.type}")
    kernel, stride, padding = node.attribute("Kernel"), node.attribute("Stride"), _padding(node)

    def compute(maps: Tensor) -> Tensor:
        padded = functional.pad(maps.float(), padding, value=_LOWEST) if any(padding) else maps.float()
        return functional.max_pool2d(padded, kernel, stride).to(torch.int8)

    return Lowered(on_maps(compute), node.range())


@lowers("AVG_POOL2D")
def average_pool(node: Node) -> Lowered:
    """The mean of a window, by a multiplication and a shift; what is beyond the edge does not count."""
    if node.output.type != "INT8":
        node.unknown(f"of {node.output.type}")
    kernel, stride, padding = node.attribute("Kernel"), node.attribute("Stride"), _padding(node)
    zero = node.scalar(1)
    low, high = node.range().bounds
    area = int(np.prod(kernel))
    sums = Range.of(area * min(low - zero, 0), area * max(high - zero, 0))
    if int(sums.reach()) > _EXACT_FLOAT32:
        node.unknown("over so much")
    ones = functional.pad(torch.ones(1, 1, *node.input(0).shape[1:3]), padding)
    counts = functional.avg_pool2d(ones, kernel, stride, divisor_override=1)[0, 0, :, :, None]
    multiplier, shift = reciprocal(counts.numpy().astype(np.int64))
    scaled, range_ = scaling(multiplier, shift, sums, (0, node.scalar(2)), "INT8")

    def compute(maps: Tensor) -> Tensor:
        moved = functional.pad(maps.float() - zero, padding)
        return functional.avg_pool2d(moved, kernel, stride, divisor_override=1)

    summed = on_maps(compute)
    return Lowered(lambda maps: scaled(summed(maps)), Range.of(*range_.bounds))


@lowers("MATMUL")
def product(node: Node) -> Lowered:
    """Products of matrices (batch, rows, columns), the zero points taken off."""
    zeros = node.scalar(2), node.scalar(3)
    bound = node.input(0).shape[2] * int(node.range(0).reach(zeros[0]).max()) * int(node.range(1).reach(zeros[1]).max())
    number = torch.float32 if bound <= _EXACT_FLOAT32 else torch.float64

    def compute(left: Tensor, right: Tensor) -> Tensor:
        return (left.to(number) - zeros[0]) @ (right.to(number) - zeros[1])

    return Lowered(compute, Range.of(-bound, bound).checked("INT32"), reads=2)


@lowers("RESIZE")
def resize(node: Node) -> Lowered:
    """Nearest or bilinear, by whole numbers: bilinear sums are as many times larger as the scale says."""
    nearest = node.attribute("Mode") == 1
    scale, offset = (node.integers(place).tolist() for place in (1, 2))
    axes = [
        _positions(size, to, scale[2 * axis], scale[2 * axis + 1], offset[axis], nearest=nearest)
        for axis, (size, to) in enumerate(zip(node.input(0).shape[1:3], node.output.shape[1:3], strict=True))
    ]
    factor = 1 if nearest else scale[0] * scale[2]
    low, high = node.range().bounds
    range_ = Range.of(low * factor, high * factor).checked(node.output.type)

    def compute(maps: Tensor) -> Tensor:
        result = maps
        for axis, (first, second, weights) in enumerate(axes, start=2):
            one = result.index_select(axis, first)
            if weights is None:
                result = one
            else:
                shape = [-1 if place == axis else 1 for place in range(5)]
                other = result.index_select(axis, second).to(torch.int32)
                result = one.to(torch.int32) * weights[0].view(shape) + other * weights[1].view(shape)
        return result

    return Lowered(compute, range_)


def _positions(
    size: int, to: int, up: int, down: int, offset: int, *, nearest: bool
) -> tuple[Tensor, Tensor, Sequence[Any] | None]:
    """Of one side: the two places between which each new one lies, and how much each counts."""
    place = np.arange(to, dtype=np.int64) * down + offset
    whole = place // up
    part = place - whole * up
    ends = [torch.from_numpy(np.clip(each, 0, size - 1)) for each in (whole, whole + 1)]
    if nearest:
        return torch.where(torch.from_numpy(2 * part >= up), ends[1], ends[0]), ends[1], None
    return ends[0], ends[1], [torch.from_numpy(each).to(torch.int32) for each in (up - part, part)]
