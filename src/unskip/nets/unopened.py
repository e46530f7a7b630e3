"""Modules of a parsed network that could not be looked into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from unskip.errors import UnskipError
from unskip.nets.looking import adds_nothing


class Unopened(nn.Module):
    """A module of the original network that stays whole: whether there are shortcuts in it is unknown.

    ``place`` is the original's name of it, ``reason`` says why it could not be opened.
    """

    def __init__(self, module: nn.Module, place: str, reason: str) -> None:
        super().__init__()
        self.module = module
        self.place = place
        self.reason = reason

    def forward(self, *values: Any, **named: Any) -> Tensor:
        """What the module gives."""
        given: Tensor = self.module(*values, **named)
        return given


def unopened_modules(net: nn.Module) -> dict[str, str]:
    """The modules of a network whose shortcuts are unknown: the names that they had in the original, and why."""
    return {module.place: module.reason for module in net.modules() if isinstance(module, Unopened)}


def unknown_shortcuts(net: nn.Module) -> str:
    """That the shortcuts of unopened modules are unknown, which and why, in words; nothing where there are none."""
    unopened = unopened_modules(net)
    if not unopened:
        return ""
    place, reason = next(iter(unopened.items()))
    if len(unopened) == 1:
        return f"its module {place} could not be opened ({reason}), so whether that has shortcuts is unknown"
    return (
        f"{len(unopened)} of its modules, {_listed(list(unopened))}, could not be opened (the first: {reason}), so "
        "whether these have shortcuts is unknown"
    )


def _listed(places: Sequence[str]) -> str:
    return ", ".join(places) if len(places) < 6 else f"{', '.join(places[:4])} and {len(places) - 4} more"


def check_opened(net: nn.Module, shortcuts: Collection[str]) -> None:
    """Raise `UnskipError` where no shortcuts were found in a network of which not all could be looked into."""
    unknown = unknown_shortcuts(net)
    if unknown and not shortcuts:
        raise UnskipError(
            f"no shortcut was found that could be removed, but {unknown}; write such a forward without that, or leave "
            "out the edit (student.edits: [] in a recipe) if the network has none"
        )


def _holds_products(module: nn.Module) -> bool:
    """Whether a module convolves or multiplies by a matrix, so that it can be a block."""
    layers = any(isinstance(layer, _ConvNd | nn.Linear) for layer in module.modules())
    return layers or any(sum(side > 1 for side in weight.shape) > 1 for weight in module.parameters())


def mark_unopened(traced: fx.GraphModule, reasons: dict[str, str]) -> None:
    """Put into an `Unopened` whatever a graph calls that stayed whole and may hold an addition, with its reason."""
    marks = {}
    for node in traced.graph.nodes:
        if node.op != "call_module":
            continue
        place = str(node.target)
        module = traced.get_submodule(place)
        reason = reasons.get(place) or _reason_of_layer(module)
        may_be_a_block = _holds_products(module) or len(node.all_input_nodes) > 1
        if reason and may_be_a_block and not adds_nothing(module):
            marks[module] = Unopened(module, place, reason)
            marks[module].training = module.training
    for parent in list(traced.modules()):
        for name, child in parent._modules.items():
            if child in marks and not isinstance(parent, Unopened):
                parent._modules[name] = marks[child]


def _reason_of_layer(module: nn.Module) -> str:
    """Why a layer of torch.nn that holds several others stays whole; nothing for any other module."""
    products = sum(isinstance(layer, _ConvNd | nn.Linear) for layer in module.modules())
    home = type(module).__module__
    return "torch.fx keeps layers of torch.nn whole" if products > 1 and home.startswith("torch.nn.") else ""
