"""A piece of a traced network, and what it is called."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from unskip.nets.functional import shape_of
from unskip.nets.stand_ins import ByMode
from unskip.nets.tracing import scope_of
from unskip.nets.unopened import Unopened


@dataclass(frozen=True)
class Piece:
    """A module between two neighbouring cuts: ``kind`` names it, ``nodes`` are what it stands for, its output last."""

    kind: str
    module: nn.Module
    nodes: tuple[fx.Node, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its output, the batch included."""
        shape = shape_of(self.nodes[-1])
        assert shape is not None
        return shape

    @property
    def place(self) -> str:
        """The innermost module of the traced network that holds all of it."""
        return common_place(self.nodes)


def in_sequence(pieces: Sequence[Piece]) -> nn.Sequential:
    """Pieces under names made of their kinds: ``conv1``, ``bn1``, ``relu``, ``conv2``; blocks are always numbered."""
    total = Counter(piece.kind for piece in pieces)
    counts: Counter[str] = Counter()
    sequence = nn.Sequential()
    for piece in pieces:
        counts[piece.kind] += 1
        numbered = total[piece.kind] > 1 or piece.kind == "block"
        name = f"{piece.kind}{counts[piece.kind]}" if numbered else piece.kind
        sequence.add_module(free_name(name, sequence), piece.module)
    return sequence


def free_name(name: str, owner: nn.Module, taken: Collection[str] = ()) -> str:
    """The name, or one like it: the sixth relu beside a relu6, a conversion ``to`` beside the method of a module."""
    while name in taken or hasattr(owner, name):
        name += "_"
    return name


def common_place(nodes: Sequence[fx.Node]) -> str:
    """The innermost module that holds all of several operations; the network itself is the empty string."""
    places = [str(node.target) if node.op == "call_module" else scope_of(node) for node in nodes]
    levels = zip(*(place.split(".") for place in places), strict=False)
    return ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


_KINDS: dict[type[nn.Module], str] = {
    _ConvNd: "conv",
    _BatchNorm: "bn",
    nn.LayerNorm: "norm",
    nn.GroupNorm: "norm",
    nn.Linear: "fc",
    ByMode: "by_mode",
    nn.Flatten: "flatten",
    nn.modules.dropout._DropoutNd: "drop",
    **{getattr(nn.modules.pooling, f"_{kind}PoolNd"): "pool" for kind in ("Max", "Avg", "AdaptiveAvg", "AdaptiveMax")},
}
_NAMES = {"DropPath": "drop_path", "StochasticDepth": "drop_path"}


def kind_of(module: nn.Module) -> str:
    """What a layer is called: ``conv``, ``bn``, ``pool``, or its class in small letters."""
    if isinstance(module, Unopened):
        return kind_of(module.module)
    own = type(module).__name__
    return next((name for kind, name in _KINDS.items() if isinstance(module, kind)), _NAMES.get(own, own.lower()))


def kind_of_graph(start: fx.Node, region: Sequence[fx.Node]) -> str:
    """The name of the module that it was, or else of the function that comes last; no name of a single layer."""
    end = region[-1]
    shapes = [shape_of(source) for source in end.all_input_nodes if source is start or source in region]
    if (
        end.target in (operator.mul, torch.mul, "mul")
        and len(shapes) == 2
        and any(set(s[2:]) == {1} for s in shapes if s)
    ):
        return "se"  # squeeze-and-excitation and its kin: a map times a number a channel
    name = common_place(region).rpartition(".")[2].rstrip("_0123456789")
    if len(region) > 1 and name and not name.startswith(("stage", "block", "layer")) and name not in _KINDS.values():
        return name
    return function_name(end)


def function_name(node: fx.Node) -> str:
    """The name of an operation: ``relu`` for the function and the method, the attribute's name for a module."""
    if node.op == "call_module":
        return str(node.target).rpartition(".")[2]
    target = node.target if isinstance(node.target, str) else node.target.__name__
    return target.strip("_").replace(".", "_")
