"""Shapes of maps, found without computing values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unskip.answers import named_answers
from unskip.errors import UnskipError, first_line
from unskip.nets.cheap_shapes import CheapShapes, without_values
from unskip.nets.staged_net import StagedNet
from unskip.nets.stand_ins import Borrowed

_SIDES = (64, 32, 28, 96, 128, 224, 256, 299)

Found = TypeVar("Found")


_copies: ContextVar[dict[int, tuple[nn.Module, nn.Module]] | None] = ContextVar("copies", default=None)


@contextmanager
def copied_once() -> Iterator[None]:
    """Within this block `on_one_image` copies a network once; nobody may change it, or a copy, meanwhile.

    Copying a network takes about as long as running it without values.
    """
    token = _copies.set({})
    try:
        yield
    finally:
        _copies.reset(token)


def _copy_to_run(net: nn.Module) -> nn.Module:
    copies = _copies.get()
    if copies is None:
        return meta_copy(net)
    if id(net) not in copies:
        copies[id(net)] = net, meta_copy(net)
    return copies[id(net)][1]


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
                return run(_copy_to_run(net), torch.empty(1, *input_shape, dtype=weight.dtype, device="meta"))
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
    return _on_fitting_image(net, _SIDES if side is None else (side,), _shapes_of_parts)[1]


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
    return _on_fitting_image(net, _SIDES, lambda twin, images: twin(images))[0]


def _on_fitting_image(
    net: nn.Module, sides: Sequence[int], run: Callable[[nn.Module, Tensor], Found]
) -> tuple[tuple[int, int, int], Found]:
    """The first image that fits, of some sides, and what ``run`` finds with it; see `on_one_image`."""
    failure: Exception = ValueError()
    for side in sides:
        failures: list[Exception] = []
        for channels in _likely_channels(net):
            shape = (channels, side, side)
            try:
                return shape, on_one_image(net, shape, run)
            except Exception as error:  # whatever a network of others raises
                failures.append(error)
        failure = failures[0]
        if isinstance(failure, UnskipError) or not isinstance(failure, RuntimeError | ValueError):
            raise failure
    raise UnskipError(f"no image size of {', '.join(map(str, sides))} fits the network: {first_line(failure)}")


def image_channels(net: nn.Module, side: int) -> int:
    """The channels of the images that a network takes, for images of ``side`` pixels.

    Those of its first convolution, unless that reads something else than the images.
    """
    likely = _likely_channels(net)
    for channels in likely:
        try:
            on_one_image(net, (channels, side, side), lambda twin, images: twin(images))
        except Exception:  # whatever a network of others raises
            continue
        return channels
    return likely[0]


def _likely_channels(net: nn.Module) -> list[int]:
    first = next((module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d)), 3)
    return list(dict.fromkeys((first, 3, 1, 4)))
