"""Edits by name, and networks built from their specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from unskip.listing import FunctionListing
from unskip.nets import NetSpec, StagedNet, fresh_net
from unskip.settings import checked_arguments
from unskip.surgery._blocks import residual_blocks
from unskip.surgery._edit import edited_in_place
from unskip.surgery._initialisation import initialise_as_plain

EDITS = FunctionListing[StagedNet]("unskip.surgery", "edit")

Edit = tuple[str, Mapping[str, Any]]


def edit_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of an edit as plain data, the defaults filled in.

    Raises `UnskipError` for an unknown edit and for arguments that it does not take.
    """
    return checked_arguments(EDITS[name], arguments, name)


def edited(net: StagedNet, edits: Sequence[Edit], *, seed: int) -> StagedNet:
    """What a sequence of edits, each a name and its arguments, makes of a network; new layers are a function of seed.

    Without any edit, the network itself. Raises `UnskipError` for what :func:`edit_arguments` refuses, and where an
    edit does not fit the network.
    """
    return _edited(net, edits, seed=seed, fresh=False)


def build(spec: NetSpec, *, seed: int) -> StagedNet:
    """The network that a spec describes, freshly initialised: a function of spec and seed alone.

    An initialisation that is meant for a shortcut goes with the shortcut, see `unskip.surgery._initialisation`. Specs
    come from files: code of a user's own module runs only after `unskip.make_net` or `unskip.allow_module` named it.
    Raises `UnskipError` otherwise, and for a network or an edit that cannot be.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = fresh_net(spec.source, spec.options)
    return _edited(net, spec.edits, seed=seed + 1, fresh=True)


def _edited(net: StagedNet, edits: Sequence[Edit], *, seed: int, fresh: bool) -> StagedNet:
    given = None if fresh else net  # any other is nobody else's, and need not be copied
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, arguments in edits:
            before = residual_blocks(net)
            edit = EDITS[name]
            net = edit(net, **arguments) if net is given else edited_in_place(edit, net, arguments)
            if fresh:
                there, left = dict(net.named_modules()), residual_blocks(net)
                gone = [place for place in before if place in there and place not in left]
                initialise_as_plain(net, gone, seed=seed)
    return net
