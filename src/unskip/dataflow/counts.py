"""Parameters, layers, and operations by the conventions that papers count with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker

from unskip.errors import UnskipError, nearest
from unskip.nets.dispatch import Dispatch
from unskip.nets.shapes import on_one_image

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
        "`macs`, and one for each output element of an average pooling, as the package torchprofile counts",
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
            **dict.fromkeys(
                (aten.native_batch_norm, aten._native_batch_norm_legit_no_training),
                lambda x, *rest, out_shape: 4 * prod(x),
            ),
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
    papers print under one word, FLOPs, what docs/reference/counts.md tells apart. The network itself is neither run nor
    changed.

    Raises `UnskipError` for an unknown convention.
    """
    if convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise UnskipError(f"no convention {convention!r}{nearest(convention, CONVENTIONS)} (known: {known})")
    rules = CONVENTIONS[convention].rules

    def run(twin: nn.Module, images: Tensor) -> int:
        with _Counting(rules) as counting:
            twin(images)
        return counting.total

    return on_one_image(net, input_shape, run)


def macs_by_module(net: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """The MACs of every module that has some, by its name (``stage1.block2``), for one image; ``""`` is the network.

    A module's MACs are those of everything in it, as often as it runs; see :func:`count_macs` for what counts.
    """

    def run(twin: nn.Module, images: Tensor) -> dict[str, int]:
        with ModuleTracker() as modules, _Counting({}, modules) as counting:
            twin(images)
        root = f"{type(twin).__name__}."
        return {"": counting.total} | {
            name.removeprefix(root): count for name, count in counting.by_module.items() if name.startswith(root)
        }

    return on_one_image(net, input_shape, run)


class _Counting(Dispatch):
    """Counts the operators that run, by rules, and else what PyTorch takes for their MACs.

    ``by_module`` has the counts of what ``modules`` tracks.
    """

    def __init__(self, rules: Mapping[Any, Callable[..., int]], modules: ModuleTracker | None = None) -> None:
        super().__init__()
        self.total = 0
        self.by_module: Counter[str] = Counter()
        self._rules = rules
        self._modules = modules

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        output = func(*args, **options)
        operator = func.overloadpacket
        if operator in self._rules:
            given, named, out = tree_map(_shape_of, (args, options, output))
            count = self._rules[operator](*given, **named, out_shape=out)
        elif operator in flop_registry:
            count = flop_registry[operator](*args, **options, out_val=output) // 2
        else:
            return output
        self.total += count
        for name in self._modules.parents if self._modules else ():
            self.by_module[name] += count
        return output


def _shape_of(value: Any) -> Any:
    return value.shape if isinstance(value, Tensor) else value
