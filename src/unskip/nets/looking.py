"""Whether a module that cannot be opened adds maps: seen from all ways through its forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from unskip.nets.additions import is_addition
from unskip.nets.tracing import Tracer, Value, scope_of
from unskip.nets.undisturbed import modes_kept, random_states

_MAX_WAYS = 32


def adds_inside(scope: str, graphs: Sequence[fx.Graph]) -> bool:
    """Whether one of several graphs adds two values that depend on the image in a module, or further inside."""
    return any(
        scope_of(node) == scope or scope_of(node).startswith(f"{scope}.")
        for graph in graphs
        for node in _additions(graph)
    )


def adds_nothing(module: nn.Module) -> bool:
    """Whether no way through a module's forward adds two values that depend on its inputs, in either mode.

    Every decision is taken both ways. False where that cannot be told.
    """
    try:
        with modes_kept(module):
            return all(_adds_nothing(module.train(training)) for training in (False, True))
    except Exception:  # whatever a forward of others raises
        return False


def _adds_nothing(module: nn.Module) -> bool:
    ways: list[list[bool]] = [[]]
    for _ in range(_MAX_WAYS):
        tracer = _DecisionTracer(ways.pop())
        before = random_states()
        graph = tracer.trace(module)
        if _additions(graph) or random_states() != before:
            return False
        ways += [[*tracer.taken[:place], True] for place in range(len(tracer.decisions), len(tracer.taken))]
        if not ways:
            return True
    return False


def _additions(graph: fx.Graph) -> list[fx.Node]:
    depending: set[fx.Node] = set()
    additions = []
    for node in graph.nodes:
        sources = depending.intersection(node.all_input_nodes)
        if node.op == "placeholder" or sources:
            depending.add(node)
        if len(sources) > 1 and is_addition(node):
            additions.append(node)
    return additions


class _CpuValue(Value):
    """A value that is a float32 tensor on the CPU, should somebody ask."""

    def __getattr__(self, k: str) -> Any:
        return {"device": torch.device("cpu"), "dtype": torch.float32}.get(k) or super().__getattr__(k)


class _DecisionTracer(Tracer):
    """Takes the ``decisions``, and after these the way that is false; ``taken`` are all of them."""

    def __init__(self, decisions: Sequence[bool]) -> None:
        super().__init__((), None)
        self.decisions = decisions
        self.taken: list[bool] = []

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return fx.Tracer.call_module(self, m, forward, args, kwargs)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        return fx.Tracer.create_node(self, *args, **kwargs)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        assert isinstance(self.root, nn.Module)
        forward = self.root.forward
        needed = [each for each in inspect.signature(forward).parameters.values() if each.default is each.empty]
        values = [self.create_proxy("placeholder", each.name, (), {}) for each in needed]
        return lambda: forward(*values), []

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _CpuValue(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        self.taken.append(self.decisions[len(self.taken)] if len(self.taken) < len(self.decisions) else False)
        return self.taken[-1]
