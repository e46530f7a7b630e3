"""One graph for eval mode and train mode."""

from __future__ import annotations

import inspect
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from unskip.errors import UnskipError
from unskip.nets.additions import maps_added
from unskip.nets.examples import Examples
from unskip.nets.functional import functional, modules_in_place, shape_of
from unskip.nets.looking import adds_inside
from unskip.nets.tracing import scope_of, trace_graph
from unskip.nets.unopened import mark_unopened

__all__ = ["ByMode", "trace_in_both_modes"]

_DROPOUTS: dict[Callable[..., Any], type[_DropoutNd]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.alpha_dropout: nn.AlphaDropout,
}


class ByMode(nn.Module):
    """One thing in eval mode, another in train mode, of the same values."""

    def __init__(self, when_evaluating: fx.GraphModule, when_training: fx.GraphModule) -> None:
        super().__init__()
        self.when_evaluating = when_evaluating
        self.when_training = when_training

    def forward(self, *values: Tensor) -> Tensor:
        """What the mode's graph makes of the values."""
        given: Tensor = self.when_training(*values) if self.training else self.when_evaluating(*values)
        return given

    @property
    def rests_in_eval(self) -> bool:
        """Whether it hands on its first value in eval mode, as a regulariser does."""
        first, *_, output = self.when_evaluating.graph.nodes
        return bool(output.args[0] is first)


class _Apart(Exception):
    """The two modes do not come together again: in which module, and what only one of them does."""

    def __init__(self, scope: str, what: str) -> None:
        super().__init__(f"it does something else in training ({what})")
        self.scope = scope


def trace_in_both_modes(net: nn.Module, example_input: Tensor) -> fx.GraphModule:
    """A network as a graph that computes the same as the network in eval mode and in train mode, without overwriting.

    What only one of the modes does becomes a `ByMode`, with all that is common left open. A module that adds no maps
    and does something else in training, such as stochastic depth, stays whole; a functional dropout becomes a layer. A module that could not be opened and may hold shortcuts becomes an `Unopened`. Modules are shared with the
    network. Raises `UnskipError` where the network's own forward cannot be one graph.
    """
    modes = [module.training for module in net.modules()]
    in_place = modules_in_place(net)
    examples = Examples(net, example_input)
    whole: dict[str, str] = {}
    try:
        while True:
            graphs = _trace_twice(net, examples, whole)
            try:
                called = [_modules_called(graph) for graph in graphs]
                traced = [functional(fx.GraphModule(net, graph), example_input, in_place) for graph in graphs]
                _check_nothing_lost(net, called, [_modules_called(each.graph) for each in traced])
                merged = _Merger(*traced).merged()
                break
            except _Apart as apart:
                if not apart.scope or apart.scope in whole:
                    raise UnskipError(
                        f"the network's own forward cannot be one graph: {apart}; put that into a module of its own, or "
                        "switch it off by an option of its factory"
                    ) from apart
                whole[apart.scope] = str(apart)
            finally:
                for module in in_place:
                    module.inplace = True  # type: ignore[assignment]
    finally:
        for module, training in zip(net.modules(), modes, strict=True):
            module.training = training
    for module in in_place:
        module.inplace = False  # type: ignore[assignment]
    mark_unopened(merged, whole)
    return merged


def _modules_called(graph: fx.Graph) -> dict[str, str]:
    """The modules that a graph calls, and in whose forward."""
    return {str(node.target): scope_of(node) for node in graph.nodes if node.op == "call_module"}


def _check_nothing_lost(net: nn.Module, before: list[dict[str, str]], after: list[dict[str, str]]) -> None:
    """Raise `_Apart` where a module runs in train mode alone, and for its statistics alone."""
    unread = [called.keys() - left.keys() for called, left in zip(before, after, strict=True)]
    for place in unread[1] - unread[0]:
        if any(True for _ in net.get_submodule(place).buffers()):
            raise _Apart(before[1][place], place)


def _trace_twice(net: nn.Module, examples: Examples, whole: dict[str, str]) -> list[fx.Graph]:
    """The graphs in eval mode and in train mode, with the same modules whole."""
    while True:
        known = len(whole)
        graphs = [trace_graph(net.train(training), examples, whole) for training in (False, True)]
        if len(whole) == known:  # else the graph in eval mode did not know yet
            for scope in _scopes_that_differ(*graphs):
                if scope and _takes_one_value(net.get_submodule(scope)) and not adds_inside(scope, graphs):
                    whole[scope] = ""  # nothing is hidden in it
        if len(whole) == known:
            return graphs


def _takes_one_value(module: nn.Module) -> bool:
    parameters = inspect.signature(module.forward).parameters.values()
    needed = [each for each in parameters if each.default is each.empty]
    return len(needed) == 1 and needed[0].kind is not inspect.Parameter.VAR_POSITIONAL


def _scopes_that_differ(evaluating: fx.Graph, training: fx.Graph) -> list[str]:
    """The modules in whose forward the two graphs do not do the same."""
    by_scope: tuple[defaultdict[str, list[str]], ...] = (defaultdict(list), defaultdict(list))
    for graph, found in zip((evaluating, training), by_scope, strict=True):
        for node in graph.nodes:
            found[scope_of(node)].append(_what_it_does(node))
    return [scope for scope in {**by_scope[1], **by_scope[0]} if by_scope[0][scope] != by_scope[1][scope]]


def _what_it_does(node: fx.Node) -> str:
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
        self.choices: dict[tuple[fx.Node, fx.Node], fx.Node] = {}
        self.chosen: dict[fx.Node, fx.Node] = {}  # a value of one mode alone, and the choice that hands it on

    def merged(self) -> fx.GraphModule:
        """Raises `_Apart` where what only one mode does cannot be told from what is common."""
        for theirs, mine in list(self.twin.items()):
            if _is_constant(mine) and not _equal(_constant(mine), _constant(theirs)):
                raise _Apart(scope_of(mine), "another number")
            own, others = _operands(mine), _operands(theirs)
            if len(own) != len(others):
                raise _Apart(scope_of(mine), _name(mine))
            values = iter([self.common_value(*pair, mine) for pair in zip(own, others, strict=True)])
            mine.args, mine.kwargs = fx.node.map_arg((mine.args, dict(mine.kwargs)), lambda _: next(values))
        for node in (*self.only_training, *self.only_evaluating):
            if node.op in ("output", "placeholder") or (node.op == "call_module" and node not in self.used):
                raise _Apart("" if node.op == "output" else scope_of(node), _returned(node))
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
            raise _Apart(scope, _name(theirs))
        sides = (self.side(mine, self.only_evaluating, reader), self.side(theirs, self.only_training, reader))
        inputs = list(dict.fromkeys(value for _, values in sides for value in values.values()))
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

    def side(
        self, end: fx.Node, only: set[fx.Node], reader: fx.Node
    ) -> tuple[list[fx.Node], dict[fx.Node, fx.Node]]:
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
                    raise _Apart(scope_of(node), _name(node))
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
    does = [[(scope_of(node), _what_it_does(node)) for node in nodes] for nodes in (evaluating, training)]
    if does[0] == does[1]:
        return zip(training, evaluating, strict=True)
    blocks = SequenceMatcher(None, *does, autojunk=False).get_matching_blocks()
    return (
        (training[block.b + place], evaluating[block.a + place]) for block in blocks for place in range(block.size)
    )


def _hold(root: fx.GraphModule, target: str, value: Any) -> None:
    """Let a graph's module have a tensor of the other one's."""
    place, _, name = target.rpartition(".")
    if place and place not in dict(root.named_modules()):
        root.add_submodule(place, nn.Module())
    setattr(root.get_submodule(place), name, value)


def _read_at_one(inside: set[fx.Node], read: dict[fx.Node, fx.Node], end: fx.Node) -> dict[fx.Node, fx.Node]:
    """The common values that are read, another in the place of those of which only the batch's size or device is read."""
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


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and (one.is_meta or torch.equal(one, other))


def _constant(node: fx.Node) -> Tensor:
    value: Tensor = getattr(node.graph.owning_module, str(node.target))
    return value


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
