"""Find the shortcuts of a network, and remove them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from unskip.errors import UnskipError
from unskip.nets.staged import Residual, StagedNet, plain_block
from unskip.settings import nearest

__all__ = ["residual_blocks", "without_shortcuts"]

KINDS = ("identity", "projection")


def residual_blocks(net: nn.Module) -> dict[str, Residual]:
    """The blocks of a network that have a shortcut, by place (``stage2.block1``), in order."""
    return {name: module for name, module in net.named_modules() if isinstance(module, Residual)}


def without_shortcuts(net: StagedNet, *, keep: Sequence[str] = ()) -> StagedNet:
    """A copy of a network without its shortcuts, projections included.

    Every block becomes its body followed by its activation: conv-bn-relu-conv-bn-relu for the basic block, the student
    of AlignKD (section 3) and of JointRD. The weights are copies of the network's own, under the same names; build
    the copy's ``spec`` for fresh ones. ``keep`` names shortcuts that stay: blocks (``stage2.block1``), whole stages
    (``stage2``), or a kind (``identity``, ``projection``).

    Raises `UnskipError` for a name in ``keep`` that fits no shortcut.
    """
    blocks = residual_blocks(net)
    kept = _kept(blocks, keep)
    plain = copy.deepcopy(net)
    for name in blocks.keys() - kept:
        parent, _, child = name.rpartition(".")
        block = plain.get_submodule(name)
        assert isinstance(block, Residual)
        setattr(plain.get_submodule(parent), child, plain_block(block.body, block.activation))
    plain.spec = net.spec.edited("without_shortcuts", keep=list(keep)) if net.spec else None
    return plain


def _kept(blocks: dict[str, Residual], keep: Sequence[str]) -> set[str]:
    kept: set[str] = set()
    for wanted in keep:
        fits = {
            name
            for name, block in blocks.items()
            if wanted in (name, block.kind) or (wanted and name.startswith(wanted + "."))
        }
        if not fits:
            known = [*KINDS, *sorted({name.split(".")[0] for name in blocks}), *blocks]
            raise UnskipError(
                f"keep: no shortcut {wanted!r}{nearest(wanted, known)}. Name blocks "
                f"({', '.join(list(blocks)[:2])}, ..), stages, or a kind ({', '.join(KINDS)})"
            )
        kept |= fits
    return kept
