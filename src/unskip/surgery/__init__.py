"""Pure edits: a network in, a new network out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from unskip.errors import UnskipError
from unskip.nets import NetSpec, StagedNet, make_net
from unskip.surgery.batchnorm import fold_batchnorm
from unskip.surgery.shortcuts import residual_blocks, without_shortcuts

__all__ = ["EDITS", "build", "fold_batchnorm", "residual_blocks", "without_shortcuts"]

EDITS: Mapping[str, Callable[..., StagedNet]] = {edit.__name__: edit for edit in (without_shortcuts, fold_batchnorm)}


def build(spec: NetSpec, *, seed: int) -> StagedNet:
    """The network that a spec describes, freshly initialised: a function of spec and seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make_net(spec.source, spec.options)
    for name, arguments in spec.edits:
        if name not in EDITS:
            raise UnskipError(f"unknown edit {name!r} in a net spec; known: {', '.join(EDITS)}")
        net = EDITS[name](net, **arguments)
    return net
