"""What everything passes on its way through a module: layers, and parameters that its maps are multiplied with."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from unskip.nets.functional import reached
from unskip.nets.staged_net import Residual, StagedNet


@dataclass(frozen=True)
class Layer:
    """A layer that everything passes: ``holder`` runs it, a sequence or a graph, under the name ``name``."""

    place: str
    module: nn.Module
    holder: nn.Module
    name: str


@dataclass(frozen=True)
class Factor:
    """What everything is multiplied with: ``value`` is the factor as it is now, a number or made of parameters."""

    place: str
    parameters: tuple[tuple[str, nn.Parameter], ...]
    value: Tensor


def in_series(
    module: nn.Module, place: str = "", holder: nn.Module | None = None, name: str = ""
) -> Iterator[Layer | Factor]:
    """What lies on every way through a module, in order, under its place in the network.

    Sequences and the graphs of parsed networks are opened; a `Residual` is not, since its shortcut leads past its
    body, and neither are modules of other classes: they count as one layer, of the ``holder`` that runs it under
    ``name``. Not in series are branches of which another leads past them.
    """
    if isinstance(module, fx.GraphModule):
        yield from _of_graph(module, place)
    elif type(module) in (nn.Sequential, StagedNet):
        for child, inner in module._modules.items():
            assert inner is not None
            yield from in_series(inner, _join(place, child), module, child)
    elif not isinstance(module, Residual):
        yield Layer(place, module, module if holder is None else holder, name)


def remove_layer(layer: Layer) -> None:
    """Take a layer out of the sequence or the graph that runs it, in place."""
    if not isinstance(layer.holder, fx.GraphModule):
        delattr(layer.holder, layer.name)
        return
    graph = layer.holder.graph
    for node in [node for node in graph.nodes if node.op == "call_module" and node.target == layer.name]:
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    layer.holder.delete_submodule(layer.name)
    layer.holder.recompile()


def _join(place: str, name: str) -> str:
    return f"{place}.{name}".removeprefix(".")


_PRODUCTS = (operator.mul, torch.mul, torch.multiply, "mul", "multiply")
# Functions and the place of the weight among their arguments.
_WEIGHTED: dict[Callable[..., Any], int] = {
    F.batch_norm: 3,
    F.instance_norm: 3,
    F.layer_norm: 2,
    F.rms_norm: 2,
    F.group_norm: 2,
}


def _of_graph(module: fx.GraphModule, place: str) -> Iterator[Layer | Factor]:
    """The calls and the factors of a graph that lie on every way from its input to its output."""
    (start,) = (node for node in module.graph.nodes if node.op == "placeholder")
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    fed = _fed_by(start, without=None)
    for node in module.graph.nodes:
        if node not in fed or node is start or node is output or output in _fed_by(start, without=node):
            continue
        if node.op == "call_module":
            target = str(node.target)
            yield from in_series(module.get_submodule(target), _join(place, target), module, target)
        for factor in _factors(node, fed):
            if isinstance(factor, fx.Node):
                found = tuple((_join(place, name), parameter) for name, parameter in _parameters(module, factor))
                yield Factor(place, found, _value(fx.Interpreter(module), factor))
            else:
                yield Factor(place, (), torch.tensor(float(factor), device="cpu"))


def _fed_by(start: fx.Node, *, without: fx.Node | None) -> set[fx.Node]:
    """The nodes that the values of one reach, other than through a certain node; sizes are no values."""

    def fed(node: fx.Node) -> Iterator[fx.Node]:
        for user in node.users:
            is_size = user.target == "size" or (user.target is getattr and user.args[1] == "shape")
            if user is not without and not is_size:
                yield user

    return reached([start], fed)


def _factors(node: fx.Node, fed: set[fx.Node]) -> list[fx.Node | float]:
    """What an operation multiplies the map with that does not depend on the map."""
    if node.op not in ("call_function", "call_method"):
        return []
    if node.target in _PRODUCTS:
        operands = [*node.args, node.kwargs.get("other")]
    else:
        place = _WEIGHTED.get(node.target, 0) if callable(node.target) else 0
        operands = [*node.args[place : place + 1], node.kwargs.get("weight")] if place else []
    return [each for each in operands if isinstance(each, fx.Node | float | int) and each not in fed]


def _value(interpreter: fx.Interpreter, node: fx.Node) -> Tensor:
    """The value of a node that does not depend on the graph's input."""
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda source: _value(interpreter, source))
    with torch.no_grad():
        return torch.as_tensor(getattr(interpreter, node.op)(node.target, args, kwargs))


def _parameters(module: fx.GraphModule, node: fx.Node) -> Iterator[tuple[str, nn.Parameter]]:
    if node.op == "get_attr":
        found = operator.attrgetter(str(node.target))(module)
        if isinstance(found, nn.Parameter):
            yield str(node.target), found
    for source in node.all_input_nodes:
        yield from _parameters(module, source)
