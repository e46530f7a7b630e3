"""Networks whose shortcuts can fade while they train, and without those that have."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from unskip.errors import UnskipError
from unskip.nets.fading import FadingResidual, fading_blocks
from unskip.nets.plain_modules import staged
from unskip.nets.staged_net import NetSpec, StagedNet
from unskip.surgery._blocks import chosen_blocks, residual_blocks
from unskip.surgery._edit import edit
from unskip.surgery._stochastic_depth import remove_stochastic_depth
from unskip.surgery.without_shortcuts import without_shortcuts


@edit
def with_fading_shortcuts(net: StagedNet, *, keep: Sequence[str] = (), only: Sequence[str] = ()) -> StagedNet:
    """A copy of a network that computes the same, whose shortcuts can fade.

    Each shortcut that `without_shortcuts` would remove, with the same ``keep`` and ``only``, is multiplied by a factor,
    1 until `set_shortcut_factor` or a method such as `fade_kd` lowers it. At 0, :func:`without_faded_shortcuts` removes
    them without a change. Stochastic depth leaves these blocks at once: a body that shall do without its shortcut is
    needed for every image.

    Raises `UnskipError` for a name that fits no shortcut.
    """
    device = next(net.parameters()).device
    for place, block in chosen_blocks(net, keep=keep, only=only).items():
        if not isinstance(block, FadingResidual):
            fading = FadingResidual.of(block, remove_stochastic_depth(block.body))
            fading.factor = fading.factor.to(device)
            net.set_submodule(place, fading)
    return net


def without_faded_shortcuts(net: nn.Module) -> StagedNet:
    """A copy without the shortcuts that have faded to nothing: the same outputs, and `without_shortcuts` in its spec.

    Raises `UnskipError` while any of their factors is above 0.
    """
    net = staged(net)
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
    names = {with_fading_shortcuts.__name__: without_shortcuts.__name__}
    return NetSpec(spec.source, spec.options, tuple((names.get(name, name), given) for name, given in spec.edits))
