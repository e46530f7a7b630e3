"""What makes a function an edit."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, cast

from torch import nn

from unskip.errors import UnskipError
from unskip.nets import StagedNet, staged
from unskip.nets.within_memory import WithinMemory
from unskip.settings import checked_arguments

P = ParamSpec("P")


def edit(
    function: Callable[Concatenate[StagedNet, P], StagedNet | None],
) -> Callable[Concatenate[nn.Module, P], StagedNet]:
    """Make an edit of a function that is given a copy of a network and its arguments, all by keyword.

    The function changes the copy, or makes another network, and returns it; None where there is nothing to do. As an
    edit it takes any network (:func:`unskip.nets.staged`) and changes none, its arguments are checked by their types,
    and the spec of what it returns records its name and arguments; where there is nothing to do, the network itself
    comes back. Its errors begin with its name. In a file of its name in this folder it is found by that name
    (`unskip.surgery.EDITS`).
    """

    @functools.wraps(function)
    def edited(net: nn.Module, /, **arguments: Any) -> StagedNet:
        return _carried_out(function, staged(net), arguments, in_place=False)

    return cast("Callable[Concatenate[nn.Module, P], StagedNet]", edited)


def edited_in_place(edit_: Callable[..., StagedNet], net: StagedNet, arguments: Mapping[str, Any]) -> StagedNet:
    """What an edit makes of a network that nobody else has: it is not copied, and not to be used afterwards."""
    return _carried_out(inspect.unwrap(edit_), net, arguments, in_place=True)


def _carried_out(
    function: Callable[..., StagedNet | None], net: StagedNet, given: Mapping[str, Any], *, in_place: bool
) -> StagedNet:
    name, spec = function.__name__, net.spec
    arguments = checked_arguments(function, given, name)
    try:
        with WithinMemory("its weights"):
            result = function(net if in_place else copy.deepcopy(net), **arguments)
    except UnskipError as error:
        raise UnskipError(f"{name}: {error}") from error
    if result is None:
        return net
    recorded = {key: value for key, value in arguments.items() if value is not None}
    result.spec = spec.edited(name, **recorded) if spec else None
    return result
