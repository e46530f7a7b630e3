"""Shapes of maps, found without computing values."""

from __future__ import annotations

import copy

import torch
from torch import nn

from unskip.errors import UnskipError, first_line
from unskip.nets.staged import StagedNet

__all__ = ["meta_copy", "part_shapes", "stage_shapes"]

_SIDES = (64, 32, 28, 96, 128, 224, 256, 299)


def meta_copy(net: nn.Module) -> nn.Module:
    """A copy in eval mode on the meta device: shapes without values, so running it costs next to nothing."""
    memo: dict[int, torch.Tensor] = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
        for parameter in net.parameters()
    }
    memo |= {id(buffer): buffer.to("meta") for buffer in net.buffers()}
    return copy.deepcopy(net, memo).eval()


def stage_shapes(net: StagedNet, side: int | None = None) -> list[tuple[int, ...]]:
    """The shape (channels, height, width) of every stage's map for a square image of ``side`` pixels.

    See :func:`part_shapes`.
    """
    last = max(place for place, name in enumerate(net.part_names) if name in net.stage_names)
    shapes = part_shapes(net[: last + 1], side)
    return [shapes[name] for name in net.stage_names]


def part_shapes(net: StagedNet, side: int | None = None) -> dict[str, tuple[int, ...]]:
    """The shape, without the batch, of what every part gives for a square image of ``side`` pixels.

    By default 64, or else the first usual size that fits. Raises `UnskipError` where none does.
    """
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    twin = meta_copy(net)
    assert isinstance(twin, StagedNet)
    sides = _SIDES if side is None else (side,)
    failure: Exception = ValueError()
    for tried in sides:
        shapes = {}
        x = torch.empty(1, first.in_channels, tried, tried, dtype=first.weight.dtype, device="meta")
        try:
            with torch.no_grad():
                for name, part in twin.named_parts():
                    x = part(x)
                    shapes[name] = tuple(x.shape[1:])
        except (RuntimeError, ValueError) as error:
            failure = error
        else:
            return shapes
    raise UnskipError(f"no image size of {', '.join(map(str, sides))} fits the network: {first_line(failure)}")
