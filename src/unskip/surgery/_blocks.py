"""The blocks that have a shortcut, and what lies in the stages besides shortcuts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn

from unskip.errors import UnskipError, nearest
from unskip.nets.staged_net import Residual, StagedNet
from unskip.nets.unopened import check_opened

KINDS = ("identity", "projection")


def residual_blocks(net: nn.Module) -> dict[str, Residual]:
    """The blocks of a network that have a shortcut, by place (``stage2.block1``), in order."""
    return {place: module for place, module in net.named_modules() if isinstance(module, Residual)}


def convs_of_bodies(net: StagedNet) -> dict[str, nn.Conv2d]:
    """The convolutions of the stages but for those of shortcuts, by place, in order."""
    shortcuts = tuple(f"{place}.shortcut" for place in residual_blocks(net))
    return {
        place: module
        for place, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and net.is_in_stage(place) and not place.startswith(shortcuts)
    }


def chosen_blocks(net: nn.Module, *, keep: Sequence[str], only: Sequence[str]) -> dict[str, Residual]:
    """The blocks whose shortcuts an edit is about, by place, in order: those in ``only``, or all, without ``keep``.

    Raises `UnskipError` for a name that fits no shortcut, and where there are none but modules of which nobody knows.
    """
    blocks = residual_blocks(net)
    check_opened(net, blocks)
    kept = _named(blocks, keep, "keep")
    wanted = _named(blocks, only, "only") if only else blocks.keys()
    return {place: block for place, block in blocks.items() if place in wanted and place not in kept}


def removal_of(removed: Collection[str], places: Sequence[str]) -> list[str]:
    """What an edit takes as ``only`` for some of all shortcuts: whole stages by their names, and nothing for all."""
    if len(removed) == len(places):
        return []
    kept_in = {place.partition(".")[0] for place in places if place not in removed}
    stages = {place: place.partition(".")[0] for place in places if place in removed}
    return list(dict.fromkeys(place if stage in kept_in else stage for place, stage in stages.items()))


def _named(blocks: dict[str, Residual], names: Sequence[str], argument: str) -> set[str]:
    named: set[str] = set()
    for name in names:
        fits = {
            place
            for place, block in blocks.items()
            if name in (place, block.kind) or (name and place.startswith(name + "."))
        }
        if not blocks:
            raise UnskipError(f"{argument}: no shortcut {name!r}; the network has none")
        if not fits:
            known = [*KINDS, *sorted({place.split(".")[0] for place in blocks}), *blocks]
            raise UnskipError(
                f"{argument}: no shortcut {name!r}{nearest(name, known) or '.'} Name blocks "
                f"({', '.join(list(blocks)[:2])}, ..), stages, or a kind ({', '.join(KINDS)})"
            )
        named |= fits
    return named
