"""What one place of an operation's output reads of its input, and what that computes, from the kernels that run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

# Element-wise kernels that lack torch's own tag for them.
_ELEMENTWISE = {
    aten.hardswish,
    aten.hardswish_,
    aten._prelu_kernel,
    aten.native_batch_norm,
    aten._native_batch_norm_legit_no_training,
}
# What a kernel calls to look at memory or to get some; none of it computes.
NO_COMPUTATION = {aten.empty, aten.detach, aten.alias}


@dataclass(frozen=True)
class Window:
    """The places of an input that one place of the output reads, by (height, width).

    ``size`` counts from the first place to the last, dilation included. Place ``r`` of the output reads the input from
    ``r * stride - padding`` on.
    """

    size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def needed(self, axis: int, first: int, last: int, length: int) -> tuple[int, int]:
        """The first and the last place of an input of ``length`` that outputs ``first`` to ``last`` read."""
        start = first * self.stride[axis] - self.padding[axis]
        end = last * self.stride[axis] - self.padding[axis] + self.size[axis] - 1
        return min(max(start, 0), length - 1), max(min(end, length - 1), 0)


ONE_PLACE = Window()


@dataclass(frozen=True)
class Kernel:
    """A kernel that ran. ``window`` is None where a place of the output reads more than a window of the input."""

    elementwise: bool
    window: Window | None
    macs: int = 0
    weights: int = 0


def kernel_of(operator: Any, args: Sequence[Any], output: Any) -> Kernel:
    """What one call of an operator of ``torch.ops.aten`` does."""
    packet = operator.overloadpacket
    if torch.Tag.pointwise in operator.tags or packet in _ELEMENTWISE:
        return Kernel(True, ONE_PLACE)
    read = _READERS.get(packet)
    return Kernel(False, None) if read is None else read(args, output)


def window_of(kernels: Sequence[Kernel]) -> Window | None:
    """The window of kernels that run one behind the other, of which one at most may read more than one place."""
    windows = [kernel.window for kernel in kernels]
    wide = [window for window in windows if window != ONE_PLACE]
    return ONE_PLACE if not wide else wide[0] if len(wide) == 1 else None


def _pair(value: Any, default: Any = (1, 1)) -> tuple[int, int]:
    values = tuple(value) or tuple(default)
    return (values[0], values[-1])


def _window(size: Any, stride: Any, padding: Any, dilation: Any = (1, 1)) -> Window:
    sides = zip(_pair(size), _pair(dilation), strict=True)
    height, width = (1 + (side - 1) * gap for side, gap in sides)
    return Window((height, width), _pair(stride, size), _pair(padding))


def _convolution(args: Sequence[Any], output: Tensor) -> Kernel:
    images, weight, _bias, stride, padding, dilation, transposed, *_ = args
    macs = (images if transposed else output).numel() * prod(weight.shape[1:])
    flat = weight.dim() == 4 and not transposed
    window = _window(weight.shape[2:], stride, padding, dilation) if flat else None
    return Kernel(False, window, macs, weight.numel())


def _product(args: Sequence[Any], output: Tensor) -> Kernel:
    left, right = args[-2:]
    return Kernel(False, None, output.numel() * left.shape[-1], right.numel())


def _max_pool(args: Sequence[Any], output: Any) -> Kernel:
    size, stride, padding, dilation = _given(args, 1, ((1, 1), (), (0, 0), (1, 1)))
    return Kernel(False, _window(size, stride, padding, dilation))


def _average_pool(args: Sequence[Any], output: Any) -> Kernel:
    size, stride, padding = _given(args, 1, ((1, 1), (), (0, 0)))
    return Kernel(False, _window(size, stride, padding))


def _given(args: Sequence[Any], first: int, defaults: Sequence[Any]) -> list[Any]:
    """The arguments from ``first`` on, as many as there are defaults, which stand in for those that a call left out."""
    given = list(args[first : first + len(defaults)])
    return given + list(defaults[len(given) :])


def _concatenation(args: Sequence[Any], output: Tensor) -> Kernel:
    of_channels = (args[1] if len(args) > 1 else 0) in (1, 1 - output.dim())
    return Kernel(False, ONE_PLACE if of_channels else None)


def _padding(args: Sequence[Any], output: Tensor) -> Kernel:
    sides = list(args[1])  # left, right, top, bottom, and those of further dimensions
    left, top = sides[0], sides[2] if len(sides) > 2 else 0
    return Kernel(False, Window(padding=(top, left)) if len(sides) <= 4 else None)


_READERS: Mapping[Any, Callable[[Sequence[Any], Any], Kernel]] = {
    aten.convolution: _convolution,
    aten.addmm: _product,
    aten.mm: _product,
    aten.bmm: _product,
    aten.max_pool2d_with_indices: _max_pool,
    aten.avg_pool2d: _average_pool,
    aten.cat: _concatenation,
    aten.constant_pad_nd: _padding,
}
