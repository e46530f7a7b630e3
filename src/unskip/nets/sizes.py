"""Sizes read where they are used."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from unskip.nets.additions import addends_of
from unskip.nets.examples import Examples, Followed, UnfollowableError
from unskip.nets.functional import reached, shape_of
from unskip.nets.piece import common_place
from unskip.nets.tracing import scope_of

_FILLED = {
    **dict.fromkeys((torch.zeros, torch.zeros_like, "new_zeros"), 0.0),
    **dict.fromkeys((torch.ones, torch.ones_like, "new_ones"), 1.0),
}
# What fits a shortcut to a body's shape.
_FITTING = (F.pad, F.interpolate, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, operator.getitem)


def with_sizes_read_nearby(traced: fx.GraphModule, example_input: Tensor) -> fx.GraphModule:
    """A graph, changed in place, in which an operation reads sizes from its own operand where that has them too.

    A network that reads the size of the batch from the image and uses it in its head (``x.view(n, -1)``), and a block
    that fills its shortcut up with as many zeros as its body has channels, would tie what is far apart together. Only
    sizes read in the network's own forward, from the image, or in the forward of a block are read elsewhere.
    """
    followed = Followed(traced, Examples(traced, example_input))
    reader = _Reader(traced.graph, followed)
    for node in list(traced.graph.nodes):
        if shape_of(node) is not None and reader.is_concerned(node):
            reader.read_nearby(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


class _Reader:
    def __init__(self, graph: fx.Graph, followed: Followed) -> None:
        self.graph = graph
        self.followed = followed
        self.image = next(node for node in graph.nodes if node.op == "placeholder")
        self.outermost = common_place([node for node in graph.nodes if node.op not in ("placeholder", "output")])
        self.blocks = {scope_of(node) for node in graph.nodes if _adds_maps(node)}

    def is_concerned(self, node: fx.Node) -> bool:
        """Whether an operation uses sizes, or a tensor made of sizes alone, of what is not its operand."""
        return any(shape_of(each) is None or _is_filled(each) for each in node.all_input_nodes)

    def read_nearby(self, node: fx.Node) -> None:
        operands = [each for each in node.all_input_nodes if shape_of(each) is not None and not _is_filled(each)]
        if not operands:
            return
        operand = operands[0]

        def nearby(value: fx.Node) -> Any:
            far = self.far_sources(value, operands)
            if not far or not all(self.may_be_read_elsewhere(node, read, source) for read, source in far):
                return value
            with self.graph.inserting_before(node):
                made = self.filled(value, operand) if _is_filled(value) else self.size(value, operand)
            return value if made is None else made

        node.args, node.kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), nearby)

    def far_sources(self, value: fx.Node, operands: Sequence[fx.Node]) -> list[tuple[fx.Node, fx.Node]]:
        """What a size, or a tensor made of sizes alone, reads from which values that are no operands."""
        if shape_of(value) is not None and not _is_filled(value):
            return []
        reads = reached([value], lambda read: [each for each in read.all_input_nodes if shape_of(each) is None])
        pairs = ((read, source) for read in reads for source in read.all_input_nodes)
        return [(read, source) for read, source in pairs if shape_of(source) is not None and source not in operands]

    def may_be_read_elsewhere(self, node: fx.Node, read: fx.Node, source: fx.Node) -> bool:
        scope = scope_of(read)
        fits = node.target in _FITTING or any(map(_is_filled, node.all_input_nodes))
        return source is self.image or scope == self.outermost or (fits and scope in self.blocks)

    def size(self, value: fx.Node, operand: fx.Node) -> Any:
        """A number or a shape, read from an operand; None where that has no such side."""
        values = self.followed.of(value)
        if isinstance(values[0], int) and not isinstance(values[0], bool):
            return self.side(values, operand, None)
        if isinstance(values[0], tuple):
            return self.shape(values, operand)
        return None

    def shape(self, values: Sequence[Any], operand: fx.Node) -> Any:
        known = [value for value in values if value is not UnfollowableError]
        if not known or any(len(value) != len(known[0]) for value in known):
            return None
        sides = [
            self.side([value if value is UnfollowableError else value[place] for value in values], operand, place)
            for place in range(len(known[0]))
        ]
        return None if None in sides else tuple(sides)

    def side(self, values: Sequence[Any], operand: fx.Node, place: int | None) -> Any:
        """A number that is the same for all examples, or else a side of an operand, that at ``place`` if it can be."""
        pairs = list(zip(values, self.followed.of(operand), strict=True))
        pairs = [
            (value, own) for value, own in pairs if value is not UnfollowableError and own is not UnfollowableError
        ]
        if not pairs or not isinstance(pairs[0][1], Tensor):
            return None
        if all(value == pairs[0][0] for value, _ in pairs) and len({own.shape[0] for _, own in pairs}) > 1:
            return pairs[0][0]
        dimensions = pairs[0][1].dim()
        for dimension in sorted(range(dimensions), key=lambda dimension: dimension != place):
            if all(own.dim() == dimensions and own.shape[dimension] == value for value, own in pairs):
                return self.graph.call_method("size", (operand, dimension))
        return None

    def filled(self, value: fx.Node, operand: fx.Node) -> fx.Node | None:
        """A tensor of zeros or ones of the size that it has, made from an operand."""
        values = self.followed.of(value)
        sides = self.shape([each if each is UnfollowableError else tuple(each.shape) for each in values], operand)
        kinds = {getattr(each, "dtype", None) for each in (values[0], self.followed.of(operand)[0])}
        if sides is None or len(kinds) > 1:
            return None
        made = self.graph.call_method("new_full", (operand, sides, _FILLED[value.target]))
        made.meta = dict(value.meta)
        return made


def _is_filled(node: Any) -> bool:
    """Whether a tensor is made of sizes alone."""
    return isinstance(node, fx.Node) and node.op in ("call_function", "call_method") and node.target in _FILLED


def _adds_maps(node: fx.Node) -> bool:
    """Whether it adds two maps of one shape."""
    shape = shape_of(node)
    return shape is not None and len(shape) == 4 and addends_of(node) is not None
