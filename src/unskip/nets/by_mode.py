"""A module that is one thing in eval mode and another in train mode."""

from __future__ import annotations

from torch import Tensor, fx, nn

__all__ = ["ByMode"]


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
