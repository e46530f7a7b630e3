"""What stands in a parsed network for what torch.nn has no layer for."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx, nn


class ByMode(nn.Module):
    """One thing in eval mode, another in train mode, of the same values."""

    def __init__(self, when_evaluating: fx.GraphModule, when_training: fx.GraphModule) -> None:
        super().__init__()
        self.when_evaluating = when_evaluating
        self.when_training = when_training

    def forward(self, *values: Tensor) -> Tensor:
        """What the mode's graph makes of the values."""
        given: Tensor = self.when_training(*values) if self.training else self.when_evaluating(*values)
        return given

    @property
    def rests_in_eval(self) -> bool:
        """Whether it hands on its first value in eval mode, as a regulariser does."""
        first, *_, output = self.when_evaluating.graph.nodes
        return bool(output.args[0] is first)


class Borrowed(nn.Module):
    """A parameter that another piece of the same block has in its state: a gate of the body and of the shortcut.

    It is no parameter of this module, so that it has one name; a copy of both pieces holds one copy of it.
    """

    value: nn.Parameter

    def __init__(self, value: nn.Parameter) -> None:
        super().__init__()
        self.__dict__["value"] = value

    def forward(self) -> nn.Parameter:
        """The parameter."""
        return self.value


class Constant(nn.Module):
    """A tensor that moves with the network and is in no state dict."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value, persistent=False)

    def forward(self) -> Any:
        """The tensor."""
        return self.value


class Scaled(nn.Module):
    """A map, ``factor`` times."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return -x if self.factor == -1 else x * self.factor

    def extra_repr(self) -> str:
        """For the representation of a network."""
        return f"{self.factor:g}"
