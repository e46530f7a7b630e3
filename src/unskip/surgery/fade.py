"""Shortcuts that fade: from all of a shortcut to nothing of it, while the network trains."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets.staged import NetSpec, Residual, StagedNet
from unskip.surgery.shortcuts import chosen_blocks, residual_blocks, without_shortcuts
from unskip.surgery.stochastic_depth import remove_stochastic_depth

__all__ = ["FadingResidual", "fading_blocks", "set_shortcut_factor", "with_fading_shortcuts", "without_faded_shortcuts"]


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
    return {place: block for place, block in residual_blocks(net).items() if isinstance(block, FadingResidual)}


def set_shortcut_factor(net: nn.Module, factor: float) -> None:
    """Let all shortcuts of a network that can fade count by ``factor``, 0 to 1, in place."""
    for block in fading_blocks(net).values():
        block.fade_to(factor)


def with_fading_shortcuts(net: StagedNet, *, keep: Sequence[str] = (), only: Sequence[str] = ()) -> StagedNet:
    """A copy of a network that computes the same, whose shortcuts can fade.

    Each shortcut that `without_shortcuts` would remove, with the same ``keep`` and ``only``, is multiplied by a factor,
    1 until `set_shortcut_factor` or a method such as `fade_kd` lowers it. At 0, :func:`without_faded_shortcuts` removes
    them without a change. Stochastic depth leaves these blocks at once: a body that shall do without its shortcut is
    needed for every image.

    Raises `UnskipError` for a name that fits no shortcut.
    """
    fading = copy.deepcopy(net)
    for place, block in chosen_blocks(net, keep=keep, only=only).items():
        if not isinstance(block, FadingResidual):
            _replace(fading, place)
    arguments = {"keep": list(keep), "only": list(only)}
    fading.spec = net.spec.edited("with_fading_shortcuts", **arguments) if net.spec else None
    return fading


def _replace(net: StagedNet, place: str) -> None:
    parent, _, child = place.rpartition(".")
    block = net.get_submodule(place)
    assert isinstance(block, Residual)
    made = FadingResidual(remove_stochastic_depth(block.body), block.shortcut, block.activation)
    made.factor = made.factor.to(next(net.parameters()).device)
    made.training = block.training  # its parts keep their own modes
    setattr(net.get_submodule(parent), child, made)


def without_faded_shortcuts(net: StagedNet) -> StagedNet:
    """A copy without the shortcuts that have faded to nothing: the same outputs, and `without_shortcuts` in its spec.

    Raises `UnskipError` while any of their factors is above 0.
    """
    blocks = fading_blocks(net)
    left = {place: float(block.factor) for place, block in blocks.items() if float(block.factor) != 0}
    if left:
        place, factor = next(iter(left.items()))
        raise UnskipError(
            f"{len(left)} of {len(blocks)} shortcuts have not faded yet (that of {place} counts by {factor:g}); train "
            "for more steps, or let them fade in a smaller share of the training"
        )
    plain = without_shortcuts(net, keep=[place for place in residual_blocks(net) if place not in blocks])
    plain.spec = _cut(net.spec) if net.spec else None
    return plain


def _cut(spec: NetSpec) -> NetSpec:
    """The spec with the edit that cuts shortcuts where it has the one that lets them fade."""
    names = {"with_fading_shortcuts": "without_shortcuts"}
    return NetSpec(spec.source, spec.options, tuple((names.get(name, name), given) for name, given in spec.edits))
