"""Blocks whose shortcut fades: from all of it to nothing of it, while the network trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unskip.nets.staged_net import Residual


class FadingResidual(Residual):
    """A block whose shortcut counts by a factor: ``activation(body(x) + factor * shortcut(x))``.

    ``factor`` is a buffer, a float32 scalar, 1 at the start: the block is bit by bit the `Residual` then, and at 0 the
    block without its shortcut. :meth:`fade_to` sets it.
    """

    factor: Tensor

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, activation: nn.Module | None = None) -> None:
        super().__init__(body, shortcut, activation)
        self.register_buffer("factor", torch.ones(()))
        self._leaves_out = False
        self.register_load_state_dict_post_hook(_leave_nothing_out)

    @classmethod
    def of(cls, block: Residual, body: nn.Module) -> FadingResidual:
        """A block that computes what another one does, with ``body`` for its body."""
        fading = cls(body, block.shortcut, block.activation)
        fading.training = block.training  # its parts keep their own modes
        return fading

    def fade_to(self, factor: float) -> None:
        """Let the shortcut count by ``factor``, 0 to 1."""
        self.factor.fill_(factor)
        # Known here without asking the device. A projection runs on: data parallelism waits for its gradients.
        self._leaves_out = factor == 0 and self.kind == "identity"

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same, or to what the projection makes of it."""
        if self.training and self._leaves_out:
            return self.activation(self.body(x))
        return self.activation(self.body(x) + self.factor * self.shortcut(x))


def _leave_nothing_out(block: nn.Module, _: object) -> None:
    assert isinstance(block, FadingResidual)
    block._leaves_out = False


def fading_blocks(net: nn.Module) -> dict[str, FadingResidual]:
    """The blocks of a network whose shortcut can fade, by place, in order."""
    return {place: module for place, module in net.named_modules() if isinstance(module, FadingResidual)}


def set_shortcut_factor(net: nn.Module, factor: float) -> None:
    """Let all shortcuts of a network that can fade count by ``factor``, 0 to 1, in place."""
    for block in fading_blocks(net).values():
        block.fade_to(factor)
