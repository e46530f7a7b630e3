"""Ordinary convolutions for Dirac ones."""

from __future__ import annotations

from unskip.nets.dirac import DiracConv2d
from unskip.nets.staged_net import StagedNet
from unskip.surgery._edit import edit


@edit
def fold_dirac(net: StagedNet) -> StagedNet | None:
    """A copy with ordinary convolutions for Dirac ones: the same outputs, bit by bit. Without any, the net itself."""
    folded = {place: conv.folded() for place, conv in net.named_modules() if isinstance(conv, DiracConv2d)}
    for place, conv in folded.items():
        net.set_submodule(place, conv)
    return net if folded else None
