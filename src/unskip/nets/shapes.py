"""Shapes of maps, found without computing values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unskip.answers import named_answers
from unskip.errors import UnskipError, first_line
from unskip.nets.dispatch import Dispatch
from unskip.nets.staged_net import StagedNet
from unskip.nets.stand_ins import Borrowed

_SIDES = (64, 32, 28, 96, 128, 224, 256, 299)

Found = TypeVar("Found")
_aten = torch.ops.aten


def without_values(tensor: Tensor) -> Tensor:
    """A tensor on the meta device that lies as this one.

    ``tensor.to("meta")`` and ``torch.empty_like`` are that too, by the long way that `CheapShapes` avoids.
    """
    plain = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    if plain.stride() == tensor.stride():
        return plain
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


class CheapShapes(Dispatch):
    """Within this block some operators give their shape at once on the meta device.

    They are convolution, BatchNorm in eval mode, max-pooling, ReLU, the sum of two like maps, the mean and a linear
    layer. PyTorch finds these in Python: most of the time of a ResNet without values, 0.6 ms a BatchNorm, and before
    the first of them it imports its compiler or its algebra of shapes, a second or two. What is unusual is left to it.
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
    lie_plainly = maps.is_contiguous() and kernel.is_contiguous() and maps.ndim == kernel.ndim == 4
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
    if any(ceil_mode) or not maps.is_contiguous() or not maps.ndim - 2 == len(kernel) == len(padding) == len(dilation):
        return None
    if any(2 * edge > reach for edge, reach in zip(padding, kernel, strict=True)):
        return None  # PyTorch says why
    shape = (*maps.shape[:2], *_sides(maps, kernel, stride or kernel, padding, dilation))
    return (maps.new_empty(shape), maps.new_empty(shape, dtype=torch.int64)) if min(shape) > 0 else None


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


def _mean(maps: Tensor, dims: Sequence[int] | None, keepdim: bool = False) -> Tensor | None:
    if not dims or not maps.is_floating_point() or not maps.is_contiguous():
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
    _aten.add.Tensor: _sum,
    _aten.add_.Tensor: _sum_in_place,
    _aten.mean.dim: _mean,
    _aten.addmm.default: _linear,
}


def meta_copy(net: nn.Module) -> nn.Module:
    """A copy in eval mode on the meta device: shapes without values, so running it costs next to nothing."""
    borrowed = [module.value for module in net.modules() if isinstance(module, Borrowed)]
    memo: dict[int, Tensor] = {
        id(parameter): nn.Parameter(without_values(parameter), requires_grad=False)
        for parameter in (*net.parameters(), *borrowed)
    }
    memo |= {id(buffer): without_values(buffer) for buffer in net.buffers()}
    return copy.deepcopy(net, memo).eval()


def light_copy(net: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """A copy in eval mode, without memory where the network runs without values."""
    copied = meta_copy(net)
    try:
        with torch.no_grad(), CheapShapes():
            copied(torch.empty(1, *input_shape, device="meta"))
    except Exception:  # what is wrong will be told where it matters
        return copy.deepcopy(net).eval()
    return copied


def on_one_image(net: nn.Module, input_shape: Sequence[int], run: Callable[[nn.Module, Tensor], Found]) -> Found:
    """What ``run`` finds with a copy of a network in eval mode and an image (1, *input_shape), without gradients.

    Both are on the meta device; where the network cannot do without values, they are the network's own and zeros.
    """
    weight = next((each for each in net.parameters() if each.is_floating_point()), torch.zeros(()))
    with torch.no_grad():
        try:
            with CheapShapes():
                return run(meta_copy(net), torch.empty(1, *input_shape, dtype=weight.dtype, device="meta"))
        except Exception as error:
            if weight.is_meta and "meta" in str(error):
                raise UnskipError(
                    f"the network's forward needs values, and here it has none: {first_line(error)}"
                ) from error
            if weight.is_meta:
                raise
            images = torch.zeros(1, *input_shape, device=weight.device, dtype=weight.dtype)
            with torch.random.fork_rng(devices=[]):
                return run(copy.deepcopy(net).eval(), images)


def stage_shapes(net: StagedNet, side: int | None = None) -> list[tuple[int, ...]]:
    """The shape (channels, height, width) of every stage's map for a square image of ``side`` pixels.

    See :func:`part_shapes`.
    """
    last = max(place for place, name in enumerate(net.part_names) if name in net.stage_names)
    shapes = part_shapes(net[: last + 1], side)
    return [shapes[name] for name in net.stage_names]


def part_shapes(net: StagedNet, side: int | None = None) -> dict[str, Any]:
    """The shape, without the batch, of what every part gives for a square image of ``side`` pixels.

    A head that gives several tensors has several shapes, by name. By default the side is 64, or else the first usual
    size that fits. Raises `UnskipError` where none does.
    """
    sides = _SIDES if side is None else (side,)
    failure: Exception = ValueError()
    for tried in sides:
        try:
            return on_one_image(net, (image_channels(net, tried), tried, tried), _shapes_of_parts)
        except UnskipError:
            raise
        except (RuntimeError, ValueError) as error:
            failure = error
    raise _no_size(sides, failure)


def _shapes_of_parts(twin: nn.Module, images: Tensor) -> dict[str, Any]:
    assert isinstance(twin, StagedNet)
    return {name: _shapes(output) for name, output in twin.outputs(images).items()}


def _shapes(output: Any) -> Any:
    """A shape, or several by the names of the tensors."""
    if isinstance(output, Tensor):
        return tuple(output.shape[1:])
    return {name: tuple(tensor.shape[1:]) for name, tensor in named_answers(output).items()}


def fitting_image(net: nn.Module) -> tuple[int, int, int]:
    """The shape (channels, height, width) of an image that a network takes: 64 pixels, or the first usual size.

    Raises `UnskipError` where none fits.
    """
    failure: Exception = ValueError()
    for side in _SIDES:
        shape = (image_channels(net, side), side, side)
        try:
            on_one_image(net, shape, lambda twin, images: twin(images))
        except (RuntimeError, ValueError) as error:
            failure = error
        else:
            return shape
    raise _no_size(_SIDES, failure)


def _no_size(sides: Sequence[int], failure: Exception) -> UnskipError:
    return UnskipError(f"no image size of {', '.join(map(str, sides))} fits the network: {first_line(failure)}")


def image_channels(net: nn.Module, side: int) -> int:
    """The channels of the images that a network takes, for images of ``side`` pixels.

    Those of its first convolution, unless that reads something else than the images.
    """
    first = next((module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d)), 3)
    for channels in dict.fromkeys((first, 3, 1, 4)):
        try:
            on_one_image(net, (channels, side, side), lambda twin, images: twin(images))
        except Exception:  # whatever a network of others raises
            continue
        return channels
    return first
