"""Find the shortcuts of a network, and remove them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from unskip.errors import UnskipError
from unskip.nets.staged import Residual, StagedNet, plain_block
from unskip.nets.unopened import check_opened
from unskip.settings import nearest
from unskip.surgery.stochastic_depth import remove_stochastic_depth

__all__ = ["chosen_blocks", "residual_blocks", "without_shortcuts"]

KINDS = ("identity", "projection")


def residual_blocks(net: nn.Module) -> dict[str, Residual]:
    """The blocks of a network that have a shortcut, by place (``stage2.block1``), in order."""
    return {name: module for name, module in net.named_modules() if isinstance(module, Residual)}


def without_shortcuts(net: StagedNet, *, keep: Sequence[str] = (), only: Sequence[str] = ()) -> StagedNet:
    """A copy of a network without its shortcuts, projections included.

    Every block becomes its body followed by its activation: conv-bn-relu-conv-bn-relu for the basic block, the student
    of AlignKD (section 3) and of JointRD. The weights are copies of the network's own, under the same names; build
    the copy's ``spec`` for fresh ones, which start as plain blocks do where the network's own are meant for a shortcut
    (`build`). Stochastic depth goes with the shortcut, dropout stays. ``only`` names the shortcuts that go, all of them
    when it is empty; ``keep`` names shortcuts that stay. Both name blocks (``stage2.block1``), whole stages
    (``stage2``), or a kind (``identity``, ``projection``).

    Raises `UnskipError` for a name that fits no shortcut.
    """
    plain = copy.deepcopy(net)
    for name in chosen_blocks(net, keep=keep, only=only):
        parent, _, child = name.rpartition(".")
        block = plain.get_submodule(name)
        assert isinstance(block, Residual)
        setattr(plain.get_submodule(parent), child, plain_block(remove_stochastic_depth(block.body), block.activation))
    arguments = {"keep": list(keep), "only": list(only)}
    plain.spec = net.spec.edited("without_shortcuts", **arguments) if net.spec else None
    return plain


def chosen_blocks(net: nn.Module, *, keep: Sequence[str], only: Sequence[str]) -> dict[str, Residual]:
    """The blocks whose shortcuts an edit is about, by place, in order: those in ``only``, or all, without ``keep``.

    Raises `UnskipError` for a name that fits no shortcut, and where there are none but modules of which nobody knows.
    """
    blocks = residual_blocks(net)
    check_opened(net, blocks)
    kept = _named(blocks, keep, "keep")
    wanted = _named(blocks, only, "only") if only else blocks.keys()
    return {name: block for name, block in blocks.items() if name in wanted and name not in kept}


def _named(blocks: dict[str, Residual], names: Sequence[str], argument: str) -> set[str]:
    found: set[str] = set()
    for wanted in names:
        fits = {
            name
            for name, block in blocks.items()
            if wanted in (name, block.kind) or (wanted and name.startswith(wanted + "."))
        }
        if not fits:
            known = [*KINDS, *sorted({name.split(".")[0] for name in blocks}), *blocks]
            raise UnskipError(
                f"{argument}: no shortcut {wanted!r}{nearest(wanted, known)}. Name blocks "
                f"({', '.join(list(blocks)[:2])}, ..), stages, or a kind ({', '.join(KINDS)})"
            )
        found |= fits
    return found
