"""One graph for eval mode and train mode."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Collection, Sequence

from torch import Tensor, fx, nn

from unskip.errors import UnskipError
from unskip.nets.examples import Examples
from unskip.nets.functional import functional, modules_in_place
from unskip.nets.looking import adds_inside
from unskip.nets.merging import ApartError, merged, what_it_does
from unskip.nets.tracing import scope_of, trace_graph
from unskip.nets.undisturbed import modes_kept
from unskip.nets.unopened import mark_unopened


def trace_in_both_modes(net: nn.Module, example_input: Tensor) -> fx.GraphModule:
    """A network as a graph that computes the same as the network in eval mode and in train mode, without overwriting.

    What only one of the modes does becomes a `ByMode`, with all that is common left open. A module that adds no maps
    and does something else in training, such as stochastic depth, stays whole; a functional dropout becomes a layer. A
    module that could not be opened and may hold shortcuts becomes an `Unopened`. Modules are shared with the network.
    Raises `UnskipError` where the network's own forward cannot be one graph.
    """
    in_place = modules_in_place(net)
    examples = Examples(net, example_input)
    whole: dict[str, str] = {}
    graph = None
    with modes_kept(net):
        while graph is None:
            graphs = _trace_twice(net, examples, whole)
            try:
                graph = _in_both_modes(net, graphs, example_input, in_place)
            except ApartError as apart:
                if not apart.scope or apart.scope in whole:
                    option = ", aux_logits=false" if getattr(net, "aux_logits", False) else ""
                    raise UnskipError(
                        f"the network's own forward {apart}; put that into a module of its own, or switch it off by an "
                        f"option of its factory{option}"
                    ) from apart
                whole[apart.scope] = f"it {apart}"
            finally:
                for module in in_place:
                    module.inplace = graph is None  # type: ignore[assignment]
    mark_unopened(graph, whole)
    return graph


def _in_both_modes(
    net: nn.Module, graphs: Sequence[fx.Graph], example_input: Tensor, in_place: Collection[nn.Module]
) -> fx.GraphModule:
    """One graph of those in eval mode and in train mode; raises `ApartError` where they do not come together."""
    called = [_modules_called(graph) for graph in graphs]
    in_training = _only_in_training(*graphs)
    traced = [functional(fx.GraphModule(net, graphs[0]), example_input, in_place)]
    try:
        traced.append(functional(fx.GraphModule(net, graphs[1]), example_input, in_place))
    except UnskipError as error:
        if in_training is None:
            raise
        raise in_training from error
    _check_nothing_lost(net, called, [_modules_called(each.graph) for each in traced])
    return merged(*traced)


def _only_in_training(evaluating: fx.Graph, training: fx.Graph) -> ApartError | None:
    """What the outermost forward that differs does in train mode alone."""
    known = {(scope_of(node), what_it_does(node)) for node in evaluating.nodes}
    alone = [node for node in training.nodes if (scope_of(node), what_it_does(node)) not in known]
    first = min(alone, key=lambda node: len(scope_of(node)), default=None)
    return None if first is None else ApartError(scope_of(first), what_it_does(first).split("(")[0])


def _modules_called(graph: fx.Graph) -> dict[str, str]:
    """The modules that a graph calls, and in whose forward."""
    return {str(node.target): scope_of(node) for node in graph.nodes if node.op == "call_module"}


def _check_nothing_lost(net: nn.Module, before: list[dict[str, str]], after: list[dict[str, str]]) -> None:
    """Raise `ApartError` where a module runs in train mode alone, and for its statistics alone."""
    unread = [called.keys() - left.keys() for called, left in zip(before, after, strict=True)]
    for place in unread[1] - unread[0]:
        if any(True for _ in net.get_submodule(place).buffers()):
            raise ApartError(before[1][place], place)


def _trace_twice(net: nn.Module, examples: Examples, whole: dict[str, str]) -> list[fx.Graph]:
    """The graphs in eval mode and in train mode, with the same modules whole."""
    while True:
        num_whole = len(whole)
        graphs = [trace_graph(net.train(training), examples, whole) for training in (False, True)]
        if len(whole) == num_whole:  # else the graph in eval mode did not know yet
            for scope in _scopes_that_differ(*graphs):
                if scope and _takes_one_value(net.get_submodule(scope)) and not adds_inside(scope, graphs):
                    whole[scope] = ""  # nothing is hidden in it
        if len(whole) == num_whole:
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
            found[scope_of(node)].append(what_it_does(node))
    return [scope for scope in {**by_scope[1], **by_scope[0]} if by_scope[0][scope] != by_scope[1][scope]]
