"""Dirac-parameterised convolutions for plain students, and back."""

from __future__ import annotations

import copy

from torch import nn

from unskip.errors import UnskipError
from unskip.nets.dirac import DiracConv2d
from unskip.nets.staged import StagedNet

__all__ = ["fold_dirac", "with_dirac_convs"]


def with_dirac_convs(net: StagedNet) -> StagedNet:
    """A copy of a network whose stages convolve with ``alpha * delta + beta * weight`` (JointRD's ImageNet student).

    Every convolution of the stages but those of shortcuts is one; a plain net starts near the identity then, which is
    what its shortcuts would have given it. The weights are copies, the function is another: meant for fresh students.
    :func:`fold_dirac` makes ordinary convolutions of the trained ones.

    Raises `UnskipError` when there is nothing to replace.
    """
    edited = copy.deepcopy(net)
    places = [
        name
        for name, module in edited.named_modules()
        if type(module) is nn.Conv2d and name.startswith("stage") and ".shortcut" not in name
    ]
    if not places:
        raise UnskipError("with_dirac_convs: the stages have no ordinary convolution")
    for name in places:
        conv = edited.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        _replace(edited, name, DiracConv2d.of(conv))
    edited.spec = net.spec.edited("with_dirac_convs") if net.spec else None
    return edited


def fold_dirac(net: StagedNet) -> StagedNet:
    """A copy with ordinary convolutions for Dirac ones: the same outputs, bit by bit. Without any, the net itself."""
    places = [name for name, module in net.named_modules() if isinstance(module, DiracConv2d)]
    if not places:
        return net
    folded = copy.deepcopy(net)
    for name in places:
        conv = folded.get_submodule(name)
        assert isinstance(conv, DiracConv2d)
        _replace(folded, name, conv.folded())
    folded.spec = net.spec.edited("fold_dirac") if net.spec else None
    return folded


def _replace(net: nn.Module, place: str, module: nn.Module) -> None:
    parent, _, child = place.rpartition(".")
    setattr(net.get_submodule(parent), child, module)
