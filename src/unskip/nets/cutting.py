"""A traced network cut into pieces, one behind the other.

A *cut* is a value on which everything later depends through it alone. Between two neighbouring cuts lies one operation,
one residual block (an addition whose two operands share nothing but the first cut), or branches that stay as they are.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from unskip.errors import UnskipError
from unskip.nets.additions import Addend, addends_of, maps_added
from unskip.nets.functional import reached, shape_of
from unskip.nets.functions import ACTIVATIONS, LAYERS, PRODUCTS, is_activation
from unskip.nets.piece import Piece, common_place, free_name, function_name, in_sequence, kind_of, kind_of_graph
from unskip.nets.staged_net import Residual
from unskip.nets.stand_ins import Borrowed, Constant, Scaled


def _with_block_activations(pieces: Sequence[Piece], ends: Collection[fx.Node]) -> list[Piece]:
    """The activation behind an addition belongs to the block."""
    merged: list[Piece] = []
    for piece in pieces:
        block = merged[-1].module if merged else None
        if (
            isinstance(block, Residual)
            and isinstance(block.activation, nn.Identity)
            and is_activation(piece.module)
            and merged[-1].nodes[-1] not in ends
        ):
            block.activation = piece.module
            merged[-1] = Piece("block", block, merged[-1].nodes + piece.nodes)
        else:
            merged.append(piece)
    return merged


class Cutter:
    """Cuts a graph into pieces, and sees to it that no weight lands in two of them.

    Modules are shared with the traced network, but for those without weights that run several times. ``stored`` are the
    ids of the tensors in its state dict; no others are in that of a piece.
    """

    def __init__(self, traced: fx.GraphModule, stored: Collection[int]) -> None:
        self.traced = traced
        self.stored = stored
        self.order = {node: place for place, node in enumerate(traced.graph.nodes)}
        self.image = next(node for node in traced.graph.nodes if node.op == "placeholder")
        self.dependent = reached([self.image], lambda node: node.users)
        self.owners: dict[int, tuple[fx.Node, fx.Node | None]] = {}
        self.block: fx.Node | None = None

    def pieces(self, end: fx.Node, ends: Collection[fx.Node] = ()) -> list[Piece]:
        """The pieces from the image to a value; outermost additions become `Residual` blocks.

        At each of ``ends``, which are cuts, a piece ends. Raises `UnskipError` where weights would land in two pieces.
        """
        return _with_block_activations(self.chain(self.image, end, blocks=True), ends)

    def chain(self, start: fx.Node, end: fx.Node, *, blocks: bool) -> list[Piece]:
        """The pieces from one value to another; additions become blocks where ``blocks`` says so."""
        pieces: list[Piece] = []
        for region in self.regions(start, end):
            pieces.append(self._piece(pieces[-1].nodes[-1] if pieces else start, region, blocks=blocks))
        return pieces

    def regions(self, start: fx.Node, end: fx.Node) -> list[list[fx.Node]]:
        """The operations between each two neighbouring cuts on the way from one value to another."""
        nodes = self.between(start, end)
        place = {node: number for number, node in enumerate(nodes)}
        last_use = {node: max((place[user] for user in node.users if user in place), default=-1) for node in nodes}
        regions: list[list[fx.Node]] = []
        region: list[fx.Node] = []
        reach = max((place[user] for user in start.users if user in place), default=-1)
        for number, node in enumerate(nodes):
            region.append(node)
            if reach <= number and shape_of(node) is not None:
                regions.append(region)
                region, reach = [], last_use[node]
            else:
                reach = max(reach, last_use[node])
        return regions

    def between(self, start: fx.Node, end: fx.Node) -> list[fx.Node]:
        """What computes ``end`` from ``start``, in order, ``start`` not included; nothing where they are one."""

        def inside(nodes: Iterable[fx.Node]) -> list[fx.Node]:
            return [node for node in nodes if node is not start and node in self.dependent]

        return sorted(reached(inside([end]), lambda node: inside(node.all_input_nodes)), key=self.order.__getitem__)

    def _piece(self, start: fx.Node, region: Sequence[fx.Node], *, blocks: bool) -> Piece:
        end = region[-1]
        reason = self.no_block(start, end, blocks=blocks)
        if reason:
            return self._layer(start, region, reason)
        addends = addends_of(end)
        assert addends is not None
        shortcut = self._shortcut_side([self.between(start, addend.value) for addend in addends])
        assert shortcut is not None
        self.block = end
        body = in_sequence(self._addend(start, addends[1 - shortcut]))
        bypass = in_sequence(self._addend(start, addends[shortcut]))
        self.block = None
        return Piece("block", Residual(body, bypass if len(bypass) else None), tuple(region))

    def _addend(self, start: fx.Node, addend: Addend) -> list[Piece]:
        """The pieces from a value to what is added, its factor included."""
        pieces = self.chain(start, addend.value, blocks=False)
        if addend.factor != 1:
            pieces.append(Piece("scale", Scaled(addend.factor), (addend.value,)))
        return pieces

    def no_block(self, start: fx.Node, end: fx.Node, *, blocks: bool = True) -> str:
        """Why what lies between two cuts is no block; nothing if it is one."""
        operands = [addend.value for addend in addends_of(end) or ()]
        if len(set(operands)) < 2 or not self.dependent.issuperset(operands):
            return "branches that meet in " + function_name(end)
        if not blocks:
            return "an addition inside a block"
        sides = [self.between(start, operand) for operand in operands]
        if set(sides[0]) & set(sides[1]):
            return "an addition of branches that share more than their beginning"
        if any(shape_of(operand) != shape_of(end) for operand in operands):
            return "an addition of maps of different shapes"
        if self._shortcut_side(sides) is None:
            return "an addition of branches of which none is a shortcut"
        return ""

    def _shortcut_side(self, sides: Sequence[Sequence[fx.Node]]) -> int | None:
        """Which of two branches is the shortcut: the one without an activation, or the far shorter one."""
        linear = [not any(self._activates(node) for node in side) for side in sides]
        if linear[0] != linear[1]:
            return linear.index(True)
        weighted = [sum(self._num_products(node) for node in side) for side in sides]
        if weighted[0] == weighted[1] or min(weighted) > 1:
            return None
        return weighted.index(min(weighted))

    def _activates(self, node: fx.Node) -> bool:
        return any(is_activation(it) if isinstance(it, nn.Module) else it in ACTIVATIONS for it in self._run_by(node))

    def _num_products(self, node: fx.Node) -> int:
        products = (_ConvNd, nn.Linear)
        return sum(isinstance(it, products) or it in PRODUCTS for it in self._run_by(node))

    def _run_by(self, node: fx.Node) -> Iterator[Any]:
        """The modules that an operation calls, those in them, and the functions in their graphs; or its function."""
        if node.op != "call_module":
            yield node.target
            return
        for module in self.traced.get_submodule(str(node.target)).modules():
            yield module
            if isinstance(module, fx.GraphModule):
                functions = (inner for inner in module.graph.nodes if inner.op in ("call_function", "call_method"))
                yield from (inner.target for inner in functions)

    def _layer(self, start: fx.Node, region: Sequence[fx.Node], branches: str) -> Piece:
        """One operation as a layer; anything else as a graph of its own."""
        module = self._as_layer(start, region)
        if module is not None:
            return Piece(kind_of(module), module, tuple(region))
        graph = self.graph_of([start], region, region[-1])
        if _has_branches(start, region):
            graph.meta["branches"] = branches
        graph.meta["additions"] = self.num_additions(region)
        return Piece(kind_of_graph(start, region), graph, tuple(region))

    def num_additions(self, region: Sequence[fx.Node]) -> int:
        """How many maps (batch, channels, height, width) are sums of two that both depend on the image."""
        maps = (node for node in region if len(shape_of(node) or ()) == 4)
        return sum(sum(source in self.dependent for source in maps_added(node)) > 1 for node in maps)

    def _as_layer(self, start: fx.Node, region: Sequence[fx.Node]) -> nn.Module | None:
        node, *more = region
        if more or node.all_input_nodes != [start] or node.args[:1] != (start,):
            return None
        if node.op == "call_module":
            module = self.traced.get_submodule(str(node.target))
            return self._owned(str(node.target), module, node) if len(node.args) == 1 and not node.kwargs else None
        if node.target not in LAYERS or start in node.args[1:]:
            return None
        settings = {key: value for key, value in node.kwargs.items() if key != "inplace"}
        try:
            return LAYERS[node.target](*node.args[1:], **settings)
        except TypeError:  # settings that the layer does not have
            return None

    def graph_of(self, starts: Sequence[fx.Node], region: Sequence[fx.Node], result: Any) -> fx.GraphModule:
        """A module of the operations in a region that computes a value, or a structure of them, from other values."""
        graph = fx.Graph()
        twins = {start: graph.placeholder(f"x{place or ''}") for place, start in enumerate(starts)}
        names, owned = self._belongings(starts, region)
        for node in self._with_sources(starts, region):
            name = names.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
            if name and isinstance(owned[name], Constant | Borrowed):
                twins[node] = graph.call_module(name)
            else:
                twins[node] = graph.node_copy(node, twins.__getitem__)
                twins[node].target = name or node.target
        graph.output(fx.node.map_arg(result, twins.__getitem__))
        return fx.GraphModule(owned, graph)

    def _belongings(
        self, starts: Sequence[fx.Node], region: Sequence[fx.Node]
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """The modules and tensors of a region: their new names by the old ones, and they by their new names."""
        nodes = self._with_sources(starts, region)
        called = dict.fromkeys(str(node.target) for node in nodes if node.op == "call_module")
        read = dict.fromkeys(str(node.target) for node in nodes if node.op == "get_attr")
        names: dict[str, str] = {}
        owned: dict[str, Any] = {}
        empty, prefix = fx.GraphModule({}, fx.Graph()), common_place(region) + "."
        for target in (*called, *read):
            item = self._owned(target, operator.attrgetter(target)(self.traced), region[-1])
            holder = next((module for module in called if target.startswith(module + ".")), None)
            if holder:  # a tensor of a module that is here itself
                names[target] = names[holder] + target.removeprefix(holder)
            else:
                names[target] = free_name(target.removeprefix(prefix).replace(".", "_"), empty, owned)
            constant = not holder and isinstance(item, Tensor) and id(item) not in self.stored
            owned[names[target]] = Constant(item) if constant else item
        return names, owned

    def _with_sources(self, starts: Sequence[fx.Node], region: Sequence[fx.Node]) -> list[fx.Node]:
        """A region and what makes the values in it that do not depend on the image, in order."""
        found = reached(region, lambda node: [source for source in node.all_input_nodes if source not in starts])
        return sorted(found, key=self.order.__getitem__)

    def _owned(self, target: str, owned: Any, owner: fx.Node) -> Any:
        """A module or a tensor for one piece; what has no weights can be had again, as a copy."""
        tensors = [owned] if isinstance(owned, Tensor) else [*owned.parameters(), *owned.buffers()]
        if not tensors and id(owned) in self.owners:
            return copy.deepcopy(owned)
        for item in (owned, *tensors):
            first, block = self.owners.setdefault(id(item), (owner, self.block))
            if first is not owner:
                if owned is item and isinstance(owned, nn.Parameter) and block is self.block is not None:
                    return Borrowed(owned)
                raise UnskipError(
                    f"{target} is used at two places of the network, {first.name} and {owner.name}; "
                    "weights that layers share cannot be told apart"
                )
        return owned


def _has_branches(start: fx.Node, region: Sequence[fx.Node]) -> bool:
    """Whether several maps are alive at once in a region: a value other than a size is read by two, or two are read."""
    inside = {start, *region}
    return any(
        len({source for source in node.all_input_nodes if source in inside and shape_of(source) is not None}) > 1
        for node in region
    )
