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

Shape = Sequence[int]
aten = torch.ops.aten


def num_parameters(net: nn.Module) -> int:
    """Parameters, trainable or frozen, shared ones once; buffers (BatchNorm's statistics) do not count."""
    return sum(parameter.numel() for parameter in net.parameters())


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


def _pool(x: Shape, kernel_size: Shape, *rest: Any, out_shape: Shape) -> int:
    return (prod(kernel_size) + 1) * prod(out_shape)


def _adaptive_pool(x: Shape, size: Shape, *, out_shape: Shape) -> int:
    window = prod(before // after for before, after in zip(x[-len(size) :], size, strict=True))
    return (window + 1) * prod(out_shape)


CONVENTIONS: Mapping[str, Convention] = {
    "macs": Convention("the MACs of convolutions and linear layers, nothing else"),
    "torchprofile": Convention(
        "macs, and one for each output element of an average pooling, as the package torchprofile counts such nets",
        # A global average pooling is a mean by the time it arrives here.
        dict.fromkeys(
            (aten.mean, aten.avg_pool2d, aten._adaptive_avg_pool2d, aten.avg_pool3d, aten._adaptive_avg_pool3d),
            lambda x, *rest, out_shape, **options: prod(out_shape),
        ),
    ),
    "thop-2019": Convention(
        "as the package thop counted in 2019: MACs of convolutions and their biases; of linear layers, BatchNorm and "
        "average poolings every arithmetic operation",
        {
            aten.convolution: _conv_with_bias,
            aten.addmm: lambda bias, x, weight, *, out_shape, **scales: 2 * x[-1] * prod(out_shape),
            aten.mm: lambda x, weight, *, out_shape: (2 * x[-1] - 1) * prod(out_shape),
            aten._native_batch_norm_legit_no_training: lambda x, *rest, out_shape: 4 * prod(x),
            aten.mean: lambda x, *rest, out_shape, **options: prod(x) + prod(out_shape),
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
    counts = _counts(net, input_shape, rules).get("Global", {})
    return sum(count if operator in rules else count // 2 for operator, count in counts.items())


def macs_by_module(net: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """The MACs of every module that has some, by its name (``stage1.block2``), for one image; ``""`` is the network.

    A module's MACs are those of everything in it, as often as it runs; see :func:`count_macs` for what counts.
    """
    root = f"{type(net).__name__}."
    found = {name: sum(counts.values()) // 2 for name, counts in _counts(net, input_shape, {}).items()}
    return {"": found.get("Global", 0)} | {
        name.removeprefix(root): macs for name, macs in found.items() if name.startswith(root)
    }


def _counts(net: nn.Module, input_shape: Shape, rules: Mapping[Any, Callable[..., int]]) -> dict[str, dict[Any, int]]:
    """Operations, a MAC being two where no rule says otherwise, by the module that does them and their operator."""

    def run(twin: nn.Module, images: Tensor) -> dict[str, dict[Any, int]]:
        with FlopCounterMode(display=False, custom_mapping=dict(rules)) as counter:
            twin(images)
        return counter.get_flop_counts()

    return on_one_image(net, input_shape, run)
