"""The shapes that common operators give, by formula, where PyTorch takes its compiler to find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unskip.nets.dispatch import Dispatch

_aten = torch.ops.aten


def without_values(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on the meta device that lies as this one, by default of its type.

    ``tensor.to("meta")`` and ``torch.empty_like`` are that too, by the long way that `CheapShapes` avoids.
    """
    plain = torch.empty(tensor.shape, dtype=dtype or tensor.dtype, device="meta")
    if plain.stride() == tensor.stride():
        return plain
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype or tensor.dtype, device="meta")


class CheapShapes(Dispatch):
    """Within this block some operators give their shape at once on the meta device.

    They are convolution, BatchNorm in eval mode, max-pooling, ReLU and ReLU6, the sum and the product of two like maps
    or with a number, the mean, a linear layer, and some of a vector's elements. PyTorch finds these in Python: most of
    the time of a ResNet without values, 0.6 ms a BatchNorm, and before the first of them it imports its compiler or its
    algebra of shapes, a second or two. What is unusual is left to it.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        rule = _RULES.get(func)
        if rule is not None and not kwargs and args[0].is_meta:
            found = rule(*args)
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def _convolution(
    maps: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _: Sequence[int],
    groups: int,
) -> Tensor | None:
    lie_plainly = maps.ndim == kernel.ndim == 4 and _lies_plainly(maps) and _lies_plainly(kernel)
    if transposed or not lie_plainly or maps.dtype != kernel.dtype or maps.shape[1] != groups * kernel.shape[1]:
        return None
    sides = _sides(maps, kernel.shape[2:], stride, padding, dilation)
    return maps.new_empty(maps.shape[0], kernel.shape[0], *sides) if min(sides) > 0 else None


def _max_pool(
    maps: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    *ceil_mode: bool,
) -> Any:
    if any(ceil_mode) or not _lies_plainly(maps) or not maps.ndim - 2 == len(kernel) == len(padding) == len(dilation):
        return None
    if any(2 * edge > reach for edge, reach in zip(padding, kernel, strict=True)):
        return None  # PyTorch says why
    shape = (*maps.shape[:2], *_sides(maps, kernel, stride or kernel, padding, dilation))
    return (maps.new_empty(shape), maps.new_empty(shape, dtype=torch.int64)) if min(shape) > 0 else None


def _lies_plainly(tensor: Tensor) -> bool:
    """By its strides: maps of one pixel are contiguous in every format, and PyTorch goes by these."""
    return tensor.stride() == torch.empty(tensor.shape, device="meta").stride()


def _sides(maps: Tensor, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any) -> list[int]:
    sizes = zip(maps.shape[2:], kernel, stride, padding, dilation, strict=True)
    return [(side + 2 * edge - gap * (reach - 1) - 1) // step + 1 for side, reach, step, edge, gap in sizes]


def _batchnorm(maps: Tensor, *_: Any) -> Any:
    nothing = maps.new_empty(0)
    return without_values(maps), nothing, nothing


def _batchnorm_if_eval(maps: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *_: Any) -> Any:
    return None if training else _batchnorm(maps)


def _sum(one: Tensor, other: Any) -> Tensor | None:
    return without_values(one) if _are_alike(one, other) else None


def _sum_in_place(one: Tensor, other: Any) -> Tensor | None:
    return one if _are_alike(one, other) else None


def _are_alike(one: Tensor, other: Any) -> bool:
    if not isinstance(other, Tensor) or other.is_meta != one.is_meta:
        return False
    return (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())


def _product(one: Tensor, other: Any) -> Tensor | None:
    if _are_alike(one, other) or _is_scaled(one, other):
        return without_values(one)
    return without_values(other) if _is_scaled(other, one) else None


def _is_scaled(maps: Any, factor: Any) -> bool:
    """Whether a product has the type of ``maps``: ``factor`` is a number, or a tensor that is one."""
    if not isinstance(maps, Tensor) or not maps.is_meta or not maps.is_floating_point() or maps.ndim == 0:
        return False
    if isinstance(factor, Tensor):
        return factor.is_meta and factor.ndim == 0 and not factor.is_complex()
    return isinstance(factor, int | float)


def _chosen(values: Tensor, indices: Sequence[Tensor | None]) -> Tensor | None:
    index = indices[0] if len(indices) == values.ndim == 1 else None
    if index is None or index.ndim != 1 or index.dtype != torch.int64:
        return None
    return values.new_empty(index.shape)


def _limited(maps: Tensor, *_: Any) -> Tensor | None:
    return without_values(maps) if maps.is_floating_point() else None


def _mean(maps: Tensor, dims: Sequence[int] | None, keepdim: bool = False) -> Tensor | None:
    if not dims or not maps.is_floating_point() or not _lies_plainly(maps):
        return None
    gone = {dim % maps.ndim for dim in dims}
    shape = [1 if place in gone else size for place, size in enumerate(maps.shape) if keepdim or place not in gone]
    return maps.new_empty(shape)


def _linear(bias: Tensor, maps: Tensor, weights: Tensor) -> Tensor | None:
    fits = maps.ndim == weights.ndim == 2 and maps.shape[1] == weights.shape[0] and bias.shape == weights.shape[1:]
    alike = bias.dtype == maps.dtype == weights.dtype
    return maps.new_empty(maps.shape[0], weights.shape[1]) if fits and alike else None


_RULES: Mapping[Any, Callable[..., Any]] = {
    _aten.convolution.default: _convolution,
    _aten._native_batch_norm_legit_no_training.default: _batchnorm,
    _aten.native_batch_norm.default: _batchnorm_if_eval,
    _aten.max_pool2d_with_indices.default: _max_pool,
    _aten.relu.default: without_values,
    _aten.hardtanh.default: _limited,
    _aten.mul.Tensor: _product,
    _aten.index.Tensor: _chosen,
    _aten.add.Tensor: _sum,
    _aten.add_.Tensor: _sum_in_place,
    _aten.mean.dim: _mean,
    _aten.addmm.default: _linear,
}
