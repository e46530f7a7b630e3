"""Networks as graphs, in a form in which no value is overwritten."""

from __future__ import annotations

import inspect
import operator
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
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

    A forward that draws random numbers by itself, or that runs under its own ``no_grad`` or ``autocast``, is not
    traced: the graph would not know. ``failed_in`` is the innermost module whose forward could not be traced, once
    `trace` has raised.
    """

    def __init__(self, whole: Iterable[str]) -> None:
        super().__init__()
        self.whole = frozenset(whole)
        self.failed_in: str | None = None
        self.context = _context()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.whole or _is_layer(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return _without_drawing(lambda: super(_Tracer, self).call_module(m, forward, args, kwargs))
        except Exception:
            if self.failed_in is None and not self.is_leaf_module(m, self.path_of_module(m)):
                self.failed_in = self.path_of_module(m)
            raise

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _context() != self.context:
            raise ValueError("a part of it runs under its own no_grad or autocast")
        return super().create_node(*args, **kwargs)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """The call with images alone: other arguments keep their defaults."""
        assert isinstance(self.root, nn.Module)
        forward, images = self.root.forward, self.create_proxy("placeholder", "images", (), {})
        return lambda: _without_drawing(lambda: forward(images)), []


def _context() -> tuple[bool, ...]:
    """What a forward may change around its operations, and no graph keeps."""
    return torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def _without_drawing(run: Callable[[], Any]) -> Any:
    """What ``run`` gives. `ValueError` if it drew random numbers, which a graph would hold as constants."""
    before = _random_states()
    result = run()
    if _random_states() != before:
        raise ValueError("it draws random numbers of its own")
    return result


def _random_states() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), np.asarray(keys).tobytes(), rest


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
    _check_takes_images(net)
    while True:
        tracer = _Tracer(whole)
        try:
            return tracer.trace(net)
        except Exception as error:
            if tracer.failed_in is None or tracer.failed_in in whole:
                raise UnskipError(
                    f"the network cannot be traced by torch.fx ({first_line(error)}); "
                    "its forward must not depend on the values or shapes of its inputs"
                ) from error
            whole.add(tracer.failed_in)


def _check_takes_images(net: nn.Module) -> None:
    _, *more = inspect.signature(net.forward).parameters.values()
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in more if each.default is each.empty and each.kind not in optional]
    if needed:
        raise UnskipError(f"the network's forward needs more than images: {', '.join(needed)}")


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
            if len(whole) > known:
                continue  # the graph in eval mode did not know yet
            differing = _scopes_that_differ(*graphs)
            if not differing:
                break
            if "" in differing:
                raise UnskipError(
                    f"the network's own forward does something else in training ({differing['']}); put that into a "
                    "module of its own, or switch it off by an option of its factory"
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
        elif node.op == "call_module" and _does_nothing(traced.get_submodule(str(node.target))):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    _Values.note(traced, example_input)
    in_place = {module for module in traced.modules() if getattr(module, "inplace", False) is True}
    for module in in_place:
        module.inplace = False  # type: ignore[assignment]
    for node in list(graph.nodes):
        if node.op == "call_module":
            writes = traced.get_submodule(str(node.target)) in in_place
        else:
            writes = _make_functional(node)
        _check_overwritten(node, writes)
        if writes and shape_of(node) is not None:
            _read_instead(node.all_input_nodes[0], node)
    graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _does_nothing(module: nn.Module) -> bool:
    return isinstance(module, nn.Identity) or (isinstance(module, _DropoutNd) and module.p == 0)


def shape_of(node: Any) -> tuple[int, ...] | None:
    """The shape of a value, the batch included, once `functional` has run; None for what is no tensor."""
    return node.meta.get("shape") if isinstance(node, fx.Node) else None


class _Values(fx.Interpreter):
    """Runs a graph and notes the shapes of its values, and which operation overwrites which values."""

    @classmethod
    def note(cls, traced: fx.GraphModule, example_input: Tensor) -> None:
        """Without computing values where all kernels can do without; else with them."""
        with torch.no_grad():
            try:
                cls(meta_copy(traced), traced.graph).run(example_input.to("meta"))
            except Exception:  # some kernel or module needs values
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
        versions = {node: value._version for node, value in self.env.items() if isinstance(value, Tensor)}
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else None
        n.meta["overwrites"] = [node for node, version in versions.items() if self.env[node]._version != version]
        return value


def _make_functional(node: fx.Node) -> bool:
    """Turn ``a += b``, ``a.relu_()`` and ``relu(a, inplace=True)`` into what writes nothing; whether it wrote."""
    if node.op not in ("call_function", "call_method"):
        return False
    if node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
        return True
    name = node.target if isinstance(node.target, str) else node.target.__name__
    if getattr(operator, name, None) is node.target and name in _OVERWRITING:
        node.target = _OVERWRITING[name]
        return True
    if not name.endswith("_") or name.endswith("__"):
        return False
    homes = (Tensor,) if node.op == "call_method" else (torch, F)
    twins = [getattr(home, name[:-1]) for home in homes if callable(getattr(home, name[:-1], None))]
    if twins:
        node.target = name[:-1] if node.op == "call_method" else twins[0]
    return bool(twins)


def _check_overwritten(node: fx.Node, writes: bool) -> None:
    """Raise `UnskipError` where an operation overwrites something other than the operand that it is known to."""
    known = node.all_input_nodes[:1] if writes else []
    if set(node.meta["overwrites"]) - set(known):
        what = node.target if node.op == "call_module" else getattr(node.target, "__name__", node.target)
        place = scope_of(node) or "the network's own forward"
        raise UnskipError(f"{what}, in {place}, writes into a tensor that others may read; let it work on a copy")


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
        traced.add_submodule(name, _DROPOUTS[node.target](given.get("p", 0.5), given.get("inplace", False)))
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
