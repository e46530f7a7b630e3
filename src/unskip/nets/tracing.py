"""Networks as graphs, in a form in which no value is overwritten."""

from __future__ import annotations

import inspect
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from unskip.errors import UnskipError, first_line
from unskip.nets.shapes import meta_copy

__all__ = ["functional", "scope_of", "shape_of", "trace_graph", "trace_in_both_modes"]

_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
_DROPOUTS: dict[Callable[..., Any], type[_DropoutNd]] = {
    F.dropout: nn.Dropout,
    F.dropout1d: nn.Dropout1d,
    F.dropout2d: nn.Dropout2d,
    F.alpha_dropout: nn.AlphaDropout,
}


class _Tracer(fx.Tracer):
    """A layer of torch.nn stays whole, and so does a subclass of one, whatever else it does, and what ``whole`` names.

    ``failed_in`` is the innermost module whose forward could not be traced, once `trace` has raised.
    """

    def __init__(self, whole: Iterable[str]) -> None:
        super().__init__()
        self.whole = frozenset(whole)
        self.failed_in: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.whole or _is_layer(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed_in is None:
                self.failed_in = self.path_of_module(m)
            raise


def _is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer of torch.nn, or of a class made from one: a convolution with padding of its own."""
    bases = [base for base in type(module).__mro__ if base.__module__.startswith(("torch.nn.", "torch.ao.nn"))]
    return bool(bases) and bases[0] not in _CONTAINERS


def trace_graph(net: nn.Module, whole: set[str] | None = None) -> fx.Graph:
    """The graph of a network's forward; a module that cannot be traced stays whole, as one node.

    ``whole`` names modules that shall stay whole, and is told of those that had to. Raises `UnskipError` where it is
    the network's own forward that cannot be traced.
    """
    whole = set() if whole is None else whole
    defaults = _defaults(net)
    while True:
        tracer = _Tracer(whole)
        try:
            return tracer.trace(net, concrete_args=defaults)
        except Exception as error:
            if tracer.failed_in is None or tracer.failed_in in whole:
                raise UnskipError(
                    f"the network cannot be traced by torch.fx ({first_line(error)}); "
                    "its forward must not depend on the values or shapes of its inputs"
                ) from error
            whole.add(tracer.failed_in)


def _defaults(net: nn.Module) -> dict[str, Any]:
    """What the arguments of a network's forward are when it is called with images alone."""
    _, *more = inspect.signature(net.forward).parameters.values()
    named = [argument for argument in more if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)]
    needed = [argument.name for argument in named if argument.default is argument.empty]
    if needed:
        raise UnskipError(f"the network's forward needs more than images: {', '.join(needed)}")
    return {argument.name: argument.default for argument in named}


def trace_in_both_modes(net: nn.Module) -> fx.GraphModule:
    """A network as a graph that computes the same as the network in eval mode and in train mode.

    A module whose forward does something else in training, such as stochastic depth, stays whole; a functional dropout
    becomes a layer. Modules are shared with the network. Raises `UnskipError` where the network's own forward does
    something else in training.
    """
    modes = [module.training for module in net.modules()]
    whole: set[str] = set()
    try:
        while True:
            known = len(whole)
            graphs = [trace_graph(net.train(training), whole) for training in (False, True)]
            differing = _scopes_that_differ(*graphs)
            if not differing and len(whole) == known:
                break
            if "" in differing:
                raise UnskipError(
                    f"the network's own forward does something else in training ({differing['']}); put that into a "
                    "module of its own"
                )
            whole |= differing.keys()
    finally:
        for module, training in zip(net.modules(), modes, strict=True):
            module.training = training
    return _with_dropout_layers(net, *graphs)


def scope_of(node: fx.Node) -> str:
    """The module in whose forward a node stands; the network's own is the empty string."""
    paths = [str(path) for path, _ in node.meta.get("nn_module_stack", {}).values()]
    if node.op == "call_module" and paths and paths[-1] == node.target:
        paths.pop()
    return paths[-1] if paths else ""


def functional(traced: fx.GraphModule, example_input: Tensor) -> fx.GraphModule:
    """A graph, changed in place, in which no operation writes over its operand and none does nothing.

    What read the overwritten value later reads the result instead. `shape_of` knows the shapes of its values
    afterwards. Raises `UnskipError` where an example does not fit, and for writing into a part of a tensor.
    """
    graph = traced.graph
    for node in reversed(list(graph.nodes)):
        if not node.users and getattr(node.target, "__name__", "") in ("_assert", "_assert_async"):
            graph.erase_node(node)
    _Shapes.note(traced, example_input)
    for node in list(graph.nodes):
        if node.target is operator.setitem:
            raise UnskipError(f"the network writes into a part of a tensor, in {scope_of(node) or 'its own forward'}")
        if node.op == "call_module":
            module = traced.get_submodule(str(node.target))
            if isinstance(module, nn.Identity) or (isinstance(module, _DropoutNd) and module.p == 0):
                node.replace_all_uses_with(node.args[0])
                graph.erase_node(node)
                continue
            writes = getattr(module, "inplace", False) is True
            if writes:
                module.inplace = False  # type: ignore[assignment]
        else:
            writes = _make_functional(node)
        if writes and shape_of(node) is not None:
            _read_instead(node.all_input_nodes[0], node)
    graph.eliminate_dead_code()
    traced.recompile()
    return traced


def shape_of(node: Any) -> tuple[int, ...] | None:
    """The shape of a value, the batch included, once `functional` has run; None for what is no tensor."""
    return node.meta.get("shape") if isinstance(node, fx.Node) else None


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shapes of its values."""

    @classmethod
    def note(cls, traced: fx.GraphModule, example_input: Tensor) -> None:
        """Without computing values where all kernels can do without; else with them."""
        with torch.no_grad():
            try:
                cls(meta_copy(traced), traced.graph).run(example_input.to("meta"))
            except (NotImplementedError, RuntimeError):
                modes = [module.training for module in traced.modules()]
                try:
                    cls(traced.eval(), traced.graph).run(example_input)
                except Exception as error:
                    size = " x ".join(map(str, example_input.shape[1:]))
                    raise UnskipError(f"an image of {size} does not fit this network: {first_line(error)}") from error
                finally:
                    for module, training in zip(traced.modules(), modes, strict=True):
                        module.training = training

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else None
        return value


def _make_functional(node: fx.Node) -> bool:
    """Turn ``a += b``, ``a.relu_()`` and ``relu(a, inplace=True)`` into what writes nothing; whether it wrote."""
    if node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__"):
        if hasattr(Tensor, str(node.target)[:-1]):
            node.target = str(node.target)[:-1]
            return True
        raise UnskipError(f"the network overwrites a tensor by {node.target}, in {scope_of(node) or 'its own forward'}")
    if node.op != "call_function":
        return False
    assert callable(node.target)
    if node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
        return True
    name = node.target.__name__
    if getattr(operator, name, None) is node.target and name in _OVERWRITING:
        node.target = _OVERWRITING[name]
        return True
    if name.endswith("_") and not name.endswith("__") and callable(getattr(torch, name[:-1], None)):
        node.target = getattr(torch, name[:-1])
        return True
    return False


_OVERWRITING = {f"i{name}": getattr(operator, name) for name in ("add", "sub", "mul", "truediv")}


def _read_instead(overwritten: fx.Node, result: fx.Node) -> None:
    """Let whatever reads a value after an operation that overwrote it read the operation's result."""
    later, node = set(), result.next
    while node.op != "root":
        later.add(node)
        node = node.next
    overwritten.replace_all_uses_with(result, delete_user_cb=later.__contains__)


def _scopes_that_differ(evaluating: fx.Graph, training: fx.Graph) -> dict[str, str]:
    """The modules in whose forward the two graphs do not do the same, and the first thing that only one does."""
    by_scope: tuple[defaultdict[str, list[str]], ...] = (defaultdict(list), defaultdict(list))
    for graph, found in zip((evaluating, training), by_scope, strict=True):
        for node in graph.nodes:
            found[scope_of(node)].append(_what_it_does(node))
    differing = {}
    for scope in {**by_scope[1], **by_scope[0]}:
        first, second = (found[scope] for found in by_scope)
        if first != second:
            only = [what for what in [*second, *first] if what not in first or what not in second]
            differing[scope] = only[0].split("(")[0] if only else "another order"
    return differing


def _what_it_does(node: fx.Node) -> str:
    """A node without the names of others; whether a dropout drops does not count."""
    given = fx.node.map_arg((node.args, dict(node.kwargs)), lambda _: None)
    constants = None if node.target in _DROPOUTS else given
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    return f"{target}({node.op}, {constants})"


def _with_dropout_layers(net: nn.Module, evaluating: fx.Graph, training: fx.Graph) -> fx.GraphModule:
    """The graph in eval mode, with a layer for every functional dropout that drops in train mode only."""
    dropouts = [[node for node in graph.nodes if node.target in _DROPOUTS] for graph in (evaluating, training)]
    traced = fx.GraphModule(net, evaluating)
    names = {node.name for first, node in zip(*dropouts, strict=True) if _drops(node) and not _drops(first)}
    for node in [node for node in traced.graph.nodes if node.target in _DROPOUTS and node.name in names]:
        given = _dropout_arguments(node)
        name = f"_{node.name}"
        traced.add_submodule(name, _DROPOUTS[node.target](p=given.get("p", 0.5)))
        with traced.graph.inserting_before(node):
            layer = traced.graph.call_module(name, (given["input"],))
        layer.meta = dict(node.meta)
        node.replace_all_uses_with(layer)
        traced.graph.erase_node(node)
    return traced


def _dropout_arguments(node: fx.Node) -> dict[str, Any]:
    return dict(zip(("input", "p", "training", "inplace"), node.args, strict=False)) | dict(node.kwargs)


def _drops(node: fx.Node) -> bool:
    return bool(_dropout_arguments(node).get("training", True))
