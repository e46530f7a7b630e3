"""Graphs in a form in which no value is overwritten."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from unskip.errors import UnskipError, first_line
from unskip.nets.shapes import meta_copy
from unskip.nets.tracing import scope_of
from unskip.nets.undisturbed import modes_kept


def modules_in_place(net: nn.Module) -> set[nn.Module]:
    """The modules of a network that write over what they read."""
    return {module for module in net.modules() if getattr(module, "inplace", False) is True}


def functional(traced: fx.GraphModule, example_input: Tensor, in_place: Collection[nn.Module]) -> fx.GraphModule:
    """A graph, changed in place, in which no operation writes over its operand and none does nothing.

    ``in_place`` are the modules that do so; they do not afterwards. What read the overwritten value later reads the
    result instead. `shape_of` knows the shapes of its values afterwards. Raises `UnskipError` where an example does not
    fit, and for writing into a part of a tensor.
    """
    graph = traced.graph
    for node in reversed(list(graph.nodes)):
        if not node.users and getattr(node.target, "__name__", "") in ("_assert", "_assert_async"):
            graph.erase_node(node)
        elif node.op == "call_module" and _does_nothing(traced.get_submodule(str(node.target))):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    _Values.note(traced, example_input)
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


def reached(starts: Iterable[fx.Node], following: Callable[[fx.Node], Iterable[fx.Node]]) -> set[fx.Node]:
    """The nodes that one comes to from others, these included; ``following`` says where one may go from a node."""
    nodes = set(starts)
    waiting = list(nodes)
    while waiting:
        new = set(following(waiting.pop())) - nodes
        nodes |= new
        waiting += new
    return nodes


class _Values(fx.Interpreter):
    """Runs a graph and notes the shapes of its values, and which operation overwrites which values."""

    @classmethod
    def note(cls, traced: fx.GraphModule, example_input: Tensor) -> None:
        """Without computing values where all kernels can do without; else with them."""
        with torch.no_grad():
            try:
                cls(meta_copy(traced), traced.graph).run(example_input.to("meta"))
            except Exception:  # some kernel or module needs values
                try:
                    with modes_kept(traced):
                        cls(traced.eval(), traced.graph).run(example_input)
                except Exception as error:
                    size = " x ".join(map(str, example_input.shape[1:]))
                    raise UnskipError(f"an image of {size} does not fit this network: {first_line(error)}") from error

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
