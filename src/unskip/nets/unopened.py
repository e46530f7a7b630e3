"""Modules of a parsed network that could not be looked into."""

from __future__ import annotations

from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["Unopened", "holds_products", "unopened_modules"]


class Unopened(nn.Module):
    """A module of the original network that stays whole: whether there are shortcuts in it is unknown.

    ``place`` is the original's name of it, ``reason`` says why it could not be opened.
    """

    def __init__(self, module: nn.Module, place: str, reason: str) -> None:
        super().__init__()
        self.module = module
        self.place = place
        self.reason = reason

    def forward(self, *values: Tensor) -> Tensor:
        """What the module gives."""
        given: Tensor = self.module(*values)
        return given


def unopened_modules(net: nn.Module) -> dict[str, str]:
    """The modules of a network whose shortcuts are unknown: the names that they had in the original, and why."""
    return {module.place: module.reason for module in net.modules() if isinstance(module, Unopened)}


def holds_products(module: nn.Module) -> bool:
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
        if reason and (holds_products(module) or len(node.all_input_nodes) > 1):
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
