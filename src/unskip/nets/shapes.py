"""Shapes of maps, found without computing values."""

from __future__ import annotations

import copy

import torch
from torch import nn

from unskip.nets.borrowed import Borrowed
from unskip.nets.staged import StagedNet

__all__ = ["meta_copy", "stage_shapes"]


def meta_copy(net: nn.Module) -> nn.Module:
    """A copy in eval mode on the meta device: shapes without values, so running it costs next to nothing."""
    borrowed = [module.value for module in net.modules() if isinstance(module, Borrowed)]
    memo: dict[int, torch.Tensor] = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
        for parameter in (*net.parameters(), *borrowed)
    }
    memo |= {id(buffer): buffer.to("meta") for buffer in net.buffers()}
    return copy.deepcopy(net, memo).eval()


def stage_shapes(net: StagedNet, side: int = 64) -> list[tuple[int, int, int]]:
    """The shape (channels, height, width) of every stage's map for a square image of ``side`` pixels."""
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    twin = meta_copy(net)
    assert isinstance(twin, StagedNet)
    with torch.no_grad():
        maps, _ = twin.features(torch.empty(1, first.in_channels, side, side, device="meta"))
    return [(found.shape[1], found.shape[2], found.shape[3]) for found in maps]
