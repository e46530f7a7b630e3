"""Parameters, layers, and operations by the conventions that papers count with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unskip.errors import UnskipError
from unskip.nets.shapes import on_one_image
from unskip.settings import nearest
from unskip.surgery import residual_blocks

__all__ = ["CONVENTIONS", "Convention", "count_macs", "macs_by_module", "num_layers", "num_parameters"]

Shape = Sequence[int]
aten = torch.ops.aten


def num_parameters(net: nn.Module) -> int:
    """Parameters, trainable or frozen, shared ones once; buffers (BatchNorm's statistics) do not count."""
    return sum(parameter.numel() for parameter in net.parameters())


def num_layers(net: nn.Module) -> int:
    """The depth that papers name a network by: convolutions and linear layers, without those of shortcuts.

    Shortcuts are those of the net's `Residual` blocks, so a ResNet-50 has 50 layers with and without them. A grouped
    convolution and the 1x1 that mixes its groups are two.
    """
    in_shortcuts = {layer for block in residual_blocks(net).values() for layer in block.shortcut.modules()}
    return sum(isinstance(layer, nn.Conv2d | nn.Linear) and layer not in in_shortcuts for layer in net.modules())


@dataclass(frozen=True)
class Convention:
    """What counts as an operation, and how often.

    ``rules`` gives operators of ``torch.ops.aten`` their counts: functions of the arguments, tensors as shapes, and of
    ``out_shape``. Products of matrices and convolutions without a rule count their MACs, everything else nothing.
    """

    summary: str
    rules: Mapping[Any, Callable[..., int]] = field(default_factory=dict)


def _conv_with_bias(x: Shape, weight: Shape, bias: Shape | None, *rest: Any, out_shape: Shape) -> int:
    _stride, _padding, _dilation, transposed, *_ = rest
    macs = prod(x if transposed else out_shape) * prod(weight[1:])
    return macs + (prod(out_shape) if bias else 0)


def _linear_with_bias(bias: Shape, x: Shape, weight: Shape, *, out_shape: Shape, **scales: float) -> int:
    return 2 * x[-1] * prod(out_shape)


def _linear_without_bias(x: Shape, weight: Shape, *, out_shape: Shape) -> int:
    return (2 * x[-1] - 1) * prod(out_shape)


def _four_an_element(x: Shape, *rest: Any, out_shape: Any) -> int:
    return 4 * prod(x)


def _one_an_output(x: Shape, *rest: Any, out_shape: Shape, **options: Any) -> int:
    return prod(out_shape)


def _pool(x: Shape, kernel_size: Shape, *rest: Any, out_shape: Shape) -> int:
    return (prod(kernel_size) + 1) * prod(out_shape)


def _adaptive_pool(x: Shape, size: Shape, *, out_shape: Shape) -> int:
    window = prod(before // after for before, after in zip(x[-len(size) :], size, strict=True))
    return (window + 1) * prod(out_shape)


def _mean(x: Shape, *rest: Any, out_shape: Shape, **options: Any) -> int:
    return prod(x) + prod(out_shape)


CONVENTIONS: Mapping[str, Convention] = {
    "macs": Convention("the MACs of convolutions and linear layers, nothing else"),
    "torchprofile": Convention(
        "macs, and one for each output element of an average pooling, as the package torchprofile counts such nets",
        # A global average pooling is a mean by the time it arrives here.
        dict.fromkeys(
            (aten.mean, aten.avg_pool2d, aten._adaptive_avg_pool2d, aten.avg_pool3d, aten._adaptive_avg_pool3d),
            _one_an_output,
        ),
    ),
    "thop-2019": Convention(
        "as the package thop counted in 2019: MACs of convolutions and their biases; of linear layers, BatchNorm and "
        "average poolings every arithmetic operation",
        {
            aten.convolution: _conv_with_bias,
            aten.addmm: _linear_with_bias,
            aten.mm: _linear_without_bias,
            aten._native_batch_norm_legit_no_training: _four_an_element,
            aten.mean: _mean,
            **dict.fromkeys((aten.avg_pool2d, aten.avg_pool3d), _pool),
            **dict.fromkeys((aten._adaptive_avg_pool2d, aten._adaptive_avg_pool3d), _adaptive_pool),
        },
    ),
}


def count_macs(net: nn.Module, input_shape: tuple[int, ...], convention: str = "macs") -> int:
    """Operations for one image of ``(channels, height, width)``; by default the MACs of convolutions and linear layers.

    One MAC (multiply-accumulate) is one multiplication with its addition, two FLOPs. Biases, BatchNorm,
    activations, pooling and the additions of the shortcuts do not count, unless another of `CONVENTIONS` is named:
    papers print under one word, FLOPs, what docs/counts.md tells apart. The network itself is neither run nor changed.

    Raises `UnskipError` for an unknown convention.
    """
    if convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise UnskipError(f"no convention {convention!r}{nearest(convention, CONVENTIONS)} (known: {known})")
    rules = CONVENTIONS[convention].rules
    counter = FlopCounterMode(display=False, custom_mapping=dict(rules))
    _count(counter, net, input_shape)
    counts = counter.get_flop_counts().get("Global", {})
    return sum(count if operator in rules else count // 2 for operator, count in counts.items())


def macs_by_module(net: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """The MACs of every module that has some, by its name (``stage1.block2``), for one image; ``""`` is the network.

    A module's MACs are those of everything in it, as often as it runs; see :func:`count_macs` for what counts.
    """
    counter = FlopCounterMode(display=False)
    _count(counter, net, input_shape)
    root = f"{type(net).__name__}."
    found = {name: sum(counts.values()) // 2 for name, counts in counter.get_flop_counts().items()}
    return {"": found.get("Global", 0)} | {
        name.removeprefix(root): macs for name, macs in found.items() if name.startswith(root)
    }


def _count(counter: FlopCounterMode, net: nn.Module, input_shape: Shape) -> None:
    def run(twin: nn.Module, images: Tensor) -> None:
        with counter:  # which counts from nothing each time
            twin(images)

    on_one_image(net, input_shape, run)
