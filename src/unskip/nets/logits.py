"""Whether what a network returns are logits: losses and temperatures put a softmax of their own behind them."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from unskip.errors import UnskipError

_PROBABILITIES = {
    "a softmax": (
        nn.Softmax,
        nn.Softmax2d,
        nn.Softmin,
        F.softmax,
        torch.softmax,
        F.softmin,
        F.gumbel_softmax,
        "softmax",
    ),
    "a sigmoid": (nn.Sigmoid, nn.Hardsigmoid, F.sigmoid, torch.sigmoid, F.hardsigmoid, torch.special.expit, "sigmoid"),
}
_LOG_SOFTMAX = (nn.LogSoftmax, F.log_softmax, torch.log_softmax, "log_softmax")
# What may lie behind and changes no value.
_VIEWS = (nn.Flatten, nn.Identity, nn.Unflatten, torch.flatten, torch.squeeze, torch.reshape, operator.getitem)
_VIEW_METHODS = ("view", "reshape", "flatten", "squeeze", "contiguous", "float", "mean", "clone")


def check_logits(graph: fx.GraphModule) -> None:
    """Raise `UnskipError` for a network that ends in a softmax or a sigmoid, warn of one that ends in a log-softmax.

    The last is harmless: cross entropy and a softmax at any temperature are the same for logits and their log-softmax.
    """
    last = _last(graph)
    for name, kinds in _PROBABILITIES.items():
        if _is(last, kinds):
            raise UnskipError(_refusal(f"it ends in {name}"))
    if _is(last, _LOG_SOFTMAX):
        warnings.warn(
            "the network ends in a log-softmax: it trains and teaches as with logits, and what is exported gives the "
            "logarithms of probabilities",
            stacklevel=2,
        )


def refuse_probabilities(outputs: Tensor) -> None:
    """Raise `UnskipError` where outputs (batch, classes) are shares: none below zero, and one together in every row."""
    if outputs.shape[1] < 2 or bool((outputs < 0).any()):
        return
    sums = outputs.double().sum(dim=1)
    if bool(((sums - 1).abs() < 1e-3).all()):
        raise UnskipError(_refusal("its outputs are shares that add up to 1, as behind a softmax"))


def _refusal(reason: str) -> str:
    return (
        f"the network must return logits, but {reason}: the loss and the temperature of distillation put a softmax of "
        "their own behind it, and a second one keeps it from learning; let its forward return what comes before, in "
        "eval mode too"
    )


def _last(graph: fx.GraphModule) -> Any:
    """The operation that makes the output's values: a module, a function, or a method's name."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    node = output.args[0]
    while isinstance(node, fx.Node):
        made = _made_by(graph, node)
        if made is None or not _is(made, (*_VIEWS, *_VIEW_METHODS)):
            return made
        node = node.args[0] if node.args else next(iter(node.kwargs.values()), None)
    return None


def _made_by(graph: fx.GraphModule, node: fx.Node) -> Any:
    if node.op == "call_module":
        return graph.get_submodule(str(node.target))
    return node.target if node.op in ("call_function", "call_method") else None


def _is(operation: Any, kinds: tuple[Any, ...]) -> bool:
    return any(isinstance(operation, kind) if isinstance(kind, type) else operation == kind for kind in kinds)
