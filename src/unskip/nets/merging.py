"""Two graphs, in eval mode and in train mode, as one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.dropout import _DropoutNd

from unskip.nets.additions import maps_added
from unskip.nets.functional import shape_of
from unskip.nets.stand_ins import ByMode
from unskip.nets.tracing import scope_of

_DROPOUTS: dict[Callable[..., Any], type[_DropoutNd]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.alpha_dropout: nn.AlphaDropout,
}


class ApartError(Exception):
    """The two modes do not come together again: in which module, and what only one of them does."""

    def __init__(self, scope: str, difference: str) -> None:
        super().__init__(f"does something else in training ({difference})")
        self.scope = scope


def merged(evaluating: fx.GraphModule, training: fx.GraphModule) -> fx.GraphModule:
    """The graph in eval mode, changed so that it is that in train mode too: what they do not share is a `ByMode`.

    Raises `ApartError` where what only one mode does cannot be told from what is common.
    """
    return _Merger(evaluating, training).merged()


def what_it_does(node: fx.Node) -> str:
    """A node without the names of others; whether a dropout drops does not count.

    A tensor made in the forward has another name each time, so only its values could tell.
    """
    if _is_constant(node):
        return "tensor(get_attr)"
    given = fx.node.map_arg((node.args, dict(node.kwargs)), lambda _: None)
    constants = None if node.target in _DROPOUTS else given
    return f"{_name(node)}({node.op}, {constants})"


def _is_constant(node: fx.Node) -> bool:
    return node.op == "get_attr" and str(node.target).startswith("_tensor_constant")


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


class _Merger:
    """The graph in eval mode, changed so that it is that in train mode too."""

    def __init__(self, evaluating: fx.GraphModule, training: fx.GraphModule) -> None:
        self.traced = evaluating
        self.roots = (evaluating, training)
        self.graph = evaluating.graph
        mine, theirs = list(evaluating.graph.nodes), list(training.graph.nodes)
        self.twin = dict(_aligned(mine, theirs))  # a node in train mode, and that in eval mode which does the same
        common = set(self.twin.values())
        self.only_evaluating = {node for node in mine if node not in common}
        self.only_training = {node for node in theirs if node not in self.twin}
        self.used: set[fx.Node] = set()
        self.called = _called(self.twin.values())
        self.choices: dict[tuple[fx.Node, fx.Node], fx.Node] = {}
        self.chosen: dict[fx.Node, fx.Node] = {}  # a value of one mode alone, and the choice that hands it on

    def merged(self) -> fx.GraphModule:
        for theirs, mine in list(self.twin.items()):
            if _is_constant(mine) and not _same_tensor(mine, theirs):
                raise ApartError(scope_of(mine), "another number")
            own, others = _operands(mine), _operands(theirs)
            if len(own) != len(others):
                raise ApartError(scope_of(mine), _name(mine))
            values = [self.common_value(*pair, mine) for pair in zip(own, others, strict=True)]
            mine.args, mine.kwargs = _with_operands(mine, values)
        for node in (*self.only_training, *self.only_evaluating):
            if node.op in ("output", "placeholder") or (node.op == "call_module" and node not in self.used):
                raise ApartError("" if node.op == "output" else scope_of(node), _returned(node))
        self.put_dropout_layers()
        self.graph.eliminate_dead_code()
        self.traced.recompile()
        return self.traced

    def common_value(self, mine: fx.Node, theirs: fx.Node, reader: fx.Node) -> fx.Node:
        """What ``reader`` is to read where it reads one value in eval mode and one in train mode."""
        if self.twin.get(theirs) is mine:
            return mine
        if (mine, theirs) in self.choices:
            return self.choices[mine, theirs]
        alone = [node for node in (theirs, mine) if node in self.only_training or node in self.only_evaluating]
        scope = scope_of(alone[0] if alone else reader)
        if shape_of(mine) is None or shape_of(mine) != shape_of(theirs):
            raise ApartError(scope, _name(theirs))
        sides = (self.side(mine, self.only_evaluating, reader), self.side(theirs, self.only_training, reader))
        inputs = list(dict.fromkeys(value for _, values in sides for value in values.values()))
        for (nodes, _), root in zip(sides, self.roots, strict=True):
            with_state = {place for place in _called(nodes) if root.get_submodule(place).state_dict()}
            if with_state & self.called:
                raise ApartError(scope, _name(theirs))  # weights would have two names
            self.called |= with_state
        ends = (mine, theirs)
        ways = [_as_module(root, *side, inputs, end) for root, side, end in zip(self.roots, sides, ends, strict=True)]
        name = f"{scope}._by_mode_{len(self.choices)}".removeprefix(".")
        self.traced.add_submodule(name, ByMode(*ways))
        with self.graph.inserting_before(reader):
            choice = self.graph.call_module(name, tuple(inputs))
        choice.meta = dict((alone[0] if alone else mine).meta)
        self.choices[mine, theirs] = choice
        self.chosen |= dict.fromkeys(alone, choice)
        return choice

    def side(self, end: fx.Node, only: set[fx.Node], reader: fx.Node) -> tuple[list[fx.Node], dict[fx.Node, fx.Node]]:
        """What one mode alone does up to a value, and the common values that it reads, by its own ones."""
        inside: set[fx.Node] = set()
        read: dict[fx.Node, fx.Node] = {}
        waiting = [end]
        while waiting:
            node = waiting.pop()
            if node in inside or node in read:
                continue
            if node in self.chosen:
                read[node] = self.chosen[node]
            elif node not in only:
                read[node] = self.twin.get(node, node)
            elif node.op == "get_attr":
                _hold(self.traced, str(node.target), operator.attrgetter(str(node.target))(self.roots[1]))
                with self.graph.inserting_before(reader):
                    read[node] = self.graph.get_attr(str(node.target))
            else:
                if node in self.used:
                    raise ApartError(scope_of(node), _name(node))
                inside.add(node)
                waiting += node.all_input_nodes
        self.used |= inside
        return [node for node in end.graph.nodes if node in inside], _read_at_one(inside, read, end)

    def put_dropout_layers(self) -> None:
        """A layer for every functional dropout that drops in train mode only."""
        for theirs, node in list(self.twin.items()):
            if node.target not in _DROPOUTS or not _drops(theirs) or _drops(node):
                continue
            given = _dropout_arguments(node)
            name = f"_{node.name}"
            self.traced.add_submodule(name, _DROPOUTS[node.target](given.get("p", 0.5), given.get("inplace", False)))
            with self.graph.inserting_before(node):
                layer = self.graph.call_module(name, (given["input"],))
            layer.meta = dict(node.meta)
            node.replace_all_uses_with(layer)
            self.graph.erase_node(node)


def _aligned(evaluating: list[fx.Node], training: list[fx.Node]) -> Iterable[tuple[fx.Node, fx.Node]]:
    """The nodes that do the same in the same module, in order: that in train mode, that in eval mode."""
    mine, theirs = ([(scope_of(node), what_it_does(node)) for node in nodes] for nodes in (evaluating, training))
    if mine == theirs:
        return zip(training, evaluating, strict=True)
    blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
    return ((training[block.b + place], evaluating[block.a + place]) for block in blocks for place in range(block.size))


def _hold(root: fx.GraphModule, target: str, value: Any) -> None:
    """Let a graph's module have a tensor of the other one's."""
    place, _, name = target.rpartition(".")
    if place and place not in dict(root.named_modules()):
        root.add_submodule(place, nn.Module())
    setattr(root.get_submodule(place), name, value)


def _read_at_one(inside: set[fx.Node], read: dict[fx.Node, fx.Node], end: fx.Node) -> dict[fx.Node, fx.Node]:
    """The common values that are read, with another one for those of which only the batch's size or device is read."""
    used = {own: [user for user in own.users if user in inside] for own in read}
    light = {own for own, users in used.items() if own is not end and all(map(_reads_batch_or_device, users))}
    held = next((own for own in read if own not in light and shape_of(own) is not None), None)
    if held is None:
        return read
    batch = (shape_of(held) or (0,))[0]
    return {
        own: read[held] if own in light and (shape_of(own) or (0,))[0] == batch else common
        for own, common in read.items()
    }


def _reads_batch_or_device(node: fx.Node) -> bool:
    if node.target == "size":
        return node.args[1:] == (0,)
    if node.target is getattr and node.args[1] == "shape":
        return all(user.target is operator.getitem and user.args[1] == 0 for user in node.users)
    return node.target is getattr and node.args[1] == "device"


def _with_operands(node: fx.Node, values: Iterable[fx.Node]) -> Any:
    """The arguments of a node with others in the place of its operands, in order."""
    rest = iter(values)
    return fx.node.map_arg((node.args, dict(node.kwargs)), lambda _: next(rest))


def _same_tensor(mine: fx.Node, theirs: fx.Node) -> bool:
    one, other = (getattr(node.graph.owning_module, str(node.target)) for node in (mine, theirs))
    return one.shape == other.shape and (one.is_meta or torch.equal(one, other))


def _called(nodes: Iterable[fx.Node]) -> set[str]:
    return {str(node.target) for node in nodes if node.op == "call_module"}


def _operands(node: fx.Node) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, dict(node.kwargs)), found.append)
    return found


def _as_module(
    root: fx.GraphModule,
    nodes: list[fx.Node],
    read: dict[fx.Node, fx.Node],
    inputs: list[fx.Node],
    end: fx.Node,
) -> fx.GraphModule:
    graph = fx.Graph()
    values = {value: graph.placeholder(f"x{number}") for number, value in enumerate(inputs)}
    twins = {own: values[common] for own, common in read.items()}
    for node in nodes:
        twins[node] = graph.node_copy(node, twins.__getitem__)
    graph.output(twins[end])
    made = fx.GraphModule(root, graph)
    made.meta["additions"] = sum(len(shape_of(node) or ()) == 4 and len(maps_added(node)) > 1 for node in nodes)
    return made


def _returned(node: fx.Node) -> str:
    return f"it returns {node.args[0]}" if node.op == "output" else _name(node)


def _dropout_arguments(node: fx.Node) -> dict[str, Any]:
    return dict(zip(("input", "p", "training", "inplace"), node.args, strict=False)) | dict(node.kwargs)


def _drops(node: fx.Node) -> bool:
    return bool(_dropout_arguments(node).get("training", True))
