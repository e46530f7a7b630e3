"""Additions of maps, however they are spelt."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from unskip.nets.functional import shape_of

aten = torch.ops.aten
_SUMS = (operator.add, torch.add, "add", "__add__", "__radd__", aten.add, aten.add.Tensor)
_DIFFERENCES = (operator.sub, torch.sub, torch.subtract, "sub", "subtract", "__sub__", aten.sub, aten.sub.Tensor)
_REVERSED = (torch.rsub, "__rsub__", aten.rsub, aten.rsub.Tensor)
_NEGATIONS = (operator.neg, torch.neg, torch.negative, "neg", "negative", "__neg__", aten.neg, aten.neg.default)
_STACKS = (torch.stack, aten.stack, aten.stack.default)
_REDUCTIONS = (torch.sum, "sum", aten.sum.dim_IntList)
# They add as well, in ways that no sum of two maps gives bit by bit.
_OTHERS = (torch.lerp, "lerp", torch.addcmul, "addcmul", torch.addcdiv, "addcdiv")


@dataclass(frozen=True)
class Addend:
    """A map that is added, ``factor`` times; a factor is a power of two or its negative, so that nothing is rounded."""

    value: fx.Node
    factor: float = 1.0


def addends_of(node: fx.Node) -> tuple[Addend, Addend] | None:
    """The two maps whose sum a value is, bit by bit; None for any other value.

    A sum, a difference, one with ``alpha``, by whatever name and with whatever keywords.
    """
    if node.op not in ("call_function", "call_method"):
        return None
    operands = dict(zip(("input", "other", "alpha"), node.args, strict=False)) | _named(node)
    if not set(operands) <= {"input", "other", "alpha"}:
        return None
    left: Any
    right: Any
    left, right, alpha = operands.get("input"), operands.get("other"), operands.get("alpha", 1)
    if node.target in _REVERSED:
        left, right = right, left
    elif node.target not in (*_SUMS, *_DIFFERENCES):
        return None
    if not isinstance(alpha, int | float) or not _is_power_of_two(alpha) or not (_is_map(left) and _is_map(right)):
        return None
    return _unsigned(left, 1.0), _unsigned(right, alpha if node.target in _SUMS else -alpha)


def is_addition(node: fx.Node) -> bool:
    """Whether an operation adds, in whatever way, writing over an operand or not; shapes are not looked at."""
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    plain = name.split(".")[0].strip("_").removeprefix("i")
    return plain in ("add", "sub", "subtract", "rsub", "lerp", "addcmul", "addcdiv", "sum", "stack")


def maps_added(node: fx.Node) -> list[fx.Node]:
    """The maps of its own shape that a value is a sum of, also where :func:`addends_of` cannot take it apart."""
    shape = shape_of(node)
    if node.op not in ("call_function", "call_method") or shape is None:
        return []
    stacks = [source for source in node.all_input_nodes if source.target in _STACKS]
    if node.target in _REDUCTIONS:
        return [each for stack in stacks for each in stack.all_input_nodes if shape_of(each) == shape]
    if node.target not in (*_SUMS, *_DIFFERENCES, *_REVERSED, *_OTHERS):
        return []
    return [source for source in node.all_input_nodes if shape_of(source) == shape]


def _named(node: fx.Node) -> dict[str, Any]:
    return {"input" if key == "self" else key: value for key, value in node.kwargs.items()}


def _is_map(value: Any) -> bool:
    return isinstance(value, fx.Node) and shape_of(value) is not None


def _is_power_of_two(alpha: float) -> bool:
    return alpha != 0 and math.isfinite(alpha) and abs(math.frexp(alpha)[0]) == 0.5


def _unsigned(value: fx.Node, factor: float) -> Addend:
    """A map whose negation is added is one that is subtracted."""
    if value.target in _NEGATIONS and len(value.all_input_nodes) == 1:
        return Addend(value.all_input_nodes[0], -factor)
    return Addend(value, factor)


def with_plain_sums(traced: fx.GraphModule) -> fx.GraphModule:
    """A graph, changed in place, in which two maps that are stacked and summed are a sum, and ``0 + x`` is ``x``."""
    graph = traced.graph
    for node in list(graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        plain: fx.Node | None = None
        if node.target in _REDUCTIONS:
            maps = _stacked(node)
            if maps is not None and len(node.all_input_nodes[0].users) == 1:
                with graph.inserting_before(node):
                    plain = graph.call_function(operator.add, maps)
                    plain.meta = dict(node.meta)
        elif node.target is operator.add and any(type(each) is int and each == 0 for each in node.args):
            plain = next((each for each in node.args if _is_map(each)), None)  # as Python's sum begins
        if plain is not None:
            node.replace_all_uses_with(plain)
            graph.erase_node(node)
    graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _stacked(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Two maps stacked along the dimension that is summed over: the sum of two numbers is rounded once."""
    given = dict(zip(("input", "dim", "keepdim"), node.args, strict=False)) | _named(node)
    stack, dim, keepdim = given.get("input"), given.get("dim"), given.get("keepdim", False)
    if not isinstance(stack, fx.Node) or stack.target not in _STACKS or keepdim or "dtype" in given:
        return None
    parts: dict[str, Any] = dict(zip(("tensors", "dim"), stack.args, strict=False)) | dict(stack.kwargs)
    maps, along, rank = parts["tensors"], parts.get("dim", 0), len(shape_of(stack) or ())
    dims = list(dim) if isinstance(dim, list | tuple) else [dim]
    if len(dims) != 1 or not isinstance(dims[0], int) or not isinstance(along, int) or dims[0] % rank != along % rank:
        return None
    return (maps[0], maps[1]) if len(maps) == 2 and all(map(_is_map, maps)) else None
