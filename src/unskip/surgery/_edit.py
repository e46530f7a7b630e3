"""What makes a function an edit."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
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
    name = function.__name__

    @functools.wraps(function)
    def edited(net: nn.Module, /, **given: Any) -> StagedNet:
        arguments = checked_arguments(function, given, name)
        original = staged(net)
        try:
            with WithinMemory("its weights"):
                result = cast("Callable[..., StagedNet | None]", function)(copy.deepcopy(original), **arguments)
        except UnskipError as error:
            raise UnskipError(f"{name}: {error}") from error
        if result is None:
            return original
        recorded = {key: value for key, value in arguments.items() if value is not None}
        result.spec = original.spec.edited(name, **recorded) if original.spec else None
        return result

    return cast("Callable[Concatenate[nn.Module, P], StagedNet]", edited)
