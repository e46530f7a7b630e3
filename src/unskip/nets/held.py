"""Tensors that a piece reads and does not have in its state."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["Borrowed", "Constant"]


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
