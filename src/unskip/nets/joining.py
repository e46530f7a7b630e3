"""Networks that answer more than one tensor, or a map: the trunk that is cut into parts, and what reads its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from operator import getitem
from typing import Any

from torch import fx, nn

from unskip.errors import UnskipError
from unskip.nets.cutting import Cutter
from unskip.nets.functional import shape_of


@dataclass(frozen=True)
class Trunk:
    """The longest chain of pieces in a network, and what computes the answers from its maps.

    ``end`` is the last value of the chain. ``join`` takes it and ``maps``: values of the chain that are needed behind
    it, the images among them; ``.shape`` behind one says that its shape will do. ``join`` is None where ``end`` is the
    answer.
    """

    end: fx.Node
    maps: Mapping[fx.Node, str]
    join: nn.Module | None


def with_shapes_apart(traced: fx.GraphModule) -> fx.GraphModule:
    """A graph, changed in place, in which ``x.size(2)`` is ``x.shape[2]``: one operation for the shape of a map."""
    shapes: dict[fx.Node, fx.Node] = {}
    for node in list(traced.graph.nodes):
        whole = _is_shape(node)
        if not whole and not (node.op == "call_method" and node.target == "size"):
            continue
        (source,) = node.all_input_nodes
        if source not in shapes:
            with traced.graph.inserting_after(source):
                shapes[source] = traced.graph.call_function(getattr, (source, "shape"))
            shapes[source].meta = dict(node.meta)
        side = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        with traced.graph.inserting_before(node):
            one = (
                shapes[source] if whole or side is None else traced.graph.call_function(getitem, (shapes[source], side))
            )
        one.meta = dict(node.meta)
        node.replace_all_uses_with(one)
        traced.graph.erase_node(node)
    return traced


def trunk_of(cutter: Cutter, answers: Any) -> Trunk:
    """The chain with the most residual blocks, and of these that with the most pieces for the fewest maps read.

    A map that lives on counts as much as two pieces: what is gained by one is hardly worth another part.

    Raises `UnskipError` where no chain gives all maps that the answers need.
    """
    outputs: list[fx.Node] = []
    fx.node.map_arg(answers, outputs.append)
    needed = {node for output in outputs for node in (cutter.image, *cutter.between(cutter.image, output))}

    @cache
    def is_block(start: fx.Node, region: tuple[fx.Node, ...]) -> bool:
        """What raises the resolution again, as pyramids do, is none."""
        return not cutter.no_block(start, region[-1]) and not any(map(_raises_resolution, region))

    ways = [
        _Way(cutter, is_block, end, needed, outputs)
        for end in sorted(needed, key=cutter.order.__getitem__)
        if _is_map(end)
    ]
    ways = [way for way in ways if way.end is not cutter.image and way.maps.keys() <= {cutter.image, *way.cuts}]
    if not ways:
        raise UnskipError("the network's answers are made of no map, or not of the images")
    way = max(ways, key=lambda way: way.score)
    if answers is way.end:
        return Trunk(way.end, {}, None)
    join = cutter.graph_of([way.end, *way.read], way.rest, answers)
    if not all(way.maps.values()):
        join.meta["branches"] = "maps of several parts that meet in the network's answers"
    join.meta["additions"] = cutter.num_additions(way.rest)
    return Trunk(way.end, way.maps, join)


class _Way:
    """One way to divide what a network needs: a chain up to ``end``, and the rest, which reads values of it."""

    def __init__(
        self,
        cutter: Cutter,
        is_block: Callable[..., bool],
        end: fx.Node,
        needed: set[fx.Node],
        outputs: Sequence[fx.Node],
    ) -> None:
        regions = [tuple(region) for region in cutter.regions(cutter.image, end)]
        self.end = end
        self.cuts = [region[-1] for region in regions]
        trunk = {cutter.image, *cutter.between(cutter.image, end)}
        shapes = {node for node in needed if _is_shape(node) and node.all_input_nodes[0] in trunk}
        behind = needed - trunk - shapes
        read = {source for node in behind for source in node.all_input_nodes if source in trunk | shapes}
        read |= trunk.intersection(outputs)
        whole = read - shapes - {end}
        near = {node for node in read & shapes if node.all_input_nodes[0] in whole | {end}}
        self.rest = sorted(behind | near, key=cutter.order.__getitem__)
        self.read = sorted(read - near - {end}, key=cutter.order.__getitem__)
        num_blocks = sum(map(is_block, [cutter.image, *self.cuts], regions))
        self.score = num_blocks, len(self.cuts) - 2 * len(whole)

    @property
    def maps(self) -> dict[fx.Node, str]:
        """The values that the rest reads beside the end; see `Trunk`."""
        return {node.all_input_nodes[0] if _is_shape(node) else node: ".shape" * _is_shape(node) for node in self.read}


def _raises_resolution(node: fx.Node) -> bool:
    sides = [prod((shape_of(source) or ())[2:]) for source in node.all_input_nodes if _is_map(source)]
    return _is_map(node) and bool(sides) and prod((shape_of(node) or ())[2:]) > max(sides)


def _is_map(node: fx.Node) -> bool:
    return len(shape_of(node) or ()) == 4


def _is_shape(node: fx.Node) -> bool:
    return node.target is getattr and node.args[1] == "shape"
