"""Pure edits: a network in, a new network out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from unskip.errors import UnskipError
from unskip.nets import NetSpec, StagedNet, fresh_net
from unskip.nets.within_memory import WithinMemory
from unskip.settings import checked_arguments, nearest
from unskip.surgery.batchnorm import fold_batchnorm
from unskip.surgery.depth import (
    at_depth,
    extract,
    with_depth_statistics,
    with_recalibrated_statistics,
    without_depth_statistics,
)
from unskip.surgery.dirac import fold_dirac, with_dirac_convs
from unskip.surgery.exact import without_shortcuts_exactly
from unskip.surgery.fade import set_shortcut_factor, with_fading_shortcuts, without_faded_shortcuts
from unskip.surgery.grouped import with_grouped_convs
from unskip.surgery.initialisation import initialise_as_plain
from unskip.surgery.shortcuts import residual_blocks, without_shortcuts
from unskip.surgery.shorten import can_be_shortened, with_shortened_shortcuts
from unskip.surgery.stem import with_lean_stem

__all__ = [
    "EDITS",
    "Edit",
    "at_depth",
    "build",
    "can_be_shortened",
    "edit_arguments",
    "edited",
    "extract",
    "fold_batchnorm",
    "fold_dirac",
    "residual_blocks",
    "set_shortcut_factor",
    "with_depth_statistics",
    "with_dirac_convs",
    "with_fading_shortcuts",
    "with_grouped_convs",
    "with_lean_stem",
    "with_recalibrated_statistics",
    "with_shortened_shortcuts",
    "without_depth_statistics",
    "without_faded_shortcuts",
    "without_shortcuts",
    "without_shortcuts_exactly",
]

EDITS: Mapping[str, Callable[..., StagedNet]] = {
    function.__name__: function
    for function in (
        without_shortcuts,
        without_shortcuts_exactly,
        with_fading_shortcuts,
        with_shortened_shortcuts,
        with_lean_stem,
        with_grouped_convs,
        with_dirac_convs,
        with_depth_statistics,
        at_depth,
        fold_dirac,
        fold_batchnorm,
    )
}


Edit = tuple[str, Mapping[str, Any]]


def edit_arguments(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of an edit as plain data, the defaults filled in.

    Raises `UnskipError` for an unknown edit and for arguments that it does not take.
    """
    if name not in EDITS:
        raise UnskipError(f"no edit {name!r}{nearest(name, EDITS)} (known: {', '.join(EDITS)})")
    return checked_arguments(EDITS[name], given, name)


def edited(net: StagedNet, edits: Sequence[Edit], *, seed: int) -> StagedNet:
    """What a sequence of edits, each a name and its arguments, makes of a network; new layers are a function of seed.

    Without any edit, the network itself. Raises `UnskipError` for what :func:`edit_arguments` refuses, and where an
    edit does not fit the network.
    """
    return _edited(net, edits, seed=seed, fresh=False)


def build(spec: NetSpec, *, seed: int) -> StagedNet:
    """The network that a spec describes, freshly initialised: a function of spec and seed alone.

    An initialisation that is meant for a shortcut goes with the shortcut, see `unskip.surgery.initialisation`. Specs
    come from files: code of a user's own module runs only after `unskip.make_net` or `unskip.allow_module` named it.
    Raises `UnskipError` otherwise, and for a network or an edit that cannot be.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = fresh_net(spec.source, spec.options)
    return _edited(net, spec.edits, seed=seed + 1, fresh=True)


def _edited(net: StagedNet, edits: Sequence[Edit], *, seed: int, fresh: bool) -> StagedNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, arguments in edits:
            full = edit_arguments(name, arguments)
            before = residual_blocks(net)
            with WithinMemory(name):
                net = EDITS[name](net, **full)
            if fresh:
                there, left = dict(net.named_modules()), residual_blocks(net)
                gone = [place for place in before if place in there and place not in left]
                initialise_as_plain(net, gone, seed=seed)
    return net
