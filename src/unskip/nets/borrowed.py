"""A parameter at a second place."""

from __future__ import annotations

from torch import nn

__all__ = ["Borrowed"]


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
