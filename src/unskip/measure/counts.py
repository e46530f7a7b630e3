"""Parameters and multiply-accumulates."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_macs", "meta_copy", "num_parameters"]


def num_parameters(net: nn.Module) -> int:
    """Parameters, trainable or frozen, shared ones once; buffers (BatchNorm's statistics) do not count."""
    return sum(parameter.numel() for parameter in net.parameters())


def count_macs(net: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """MACs of the convolutions and linear layers for one image of ``(channels, height, width)``.

    One MAC (multiply-accumulate) is one multiplication with its addition, two FLOPs. Biases, BatchNorm,
    activations, pooling and the additions of the shortcuts do not count. The network itself is neither run
    nor changed.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        meta_copy(net)(torch.empty(1, *input_shape, device="meta"))
    flops: int = counter.get_total_flops()
    return flops // 2


def meta_copy(net: nn.Module) -> nn.Module:
    """A copy in eval mode on the meta device: shapes without values, so running it costs next to nothing."""
    memo: dict[int, torch.Tensor] = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
        for parameter in net.parameters()
    }
    memo |= {id(buffer): buffer.to("meta") for buffer in net.buffers()}
    return copy.deepcopy(net, memo).eval()
