"""Networks of the user's own: what a ``PACKAGE.MODULE:FACTORY`` may be."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from torch import nn

from unskip.own_code import own_object

__all__ = ["own_factory"]


def own_factory(source: str) -> Callable[..., Any]:
    """The class or function that a source ``MODULE:FACTORY`` names; see `unskip.own_code.own_object`.

    It is a subclass of `nn.Module`, or a function that does not say it returns something else, defined in that module
    or in another of the same package.
    """
    expected = "a class that is a torch.nn.Module or a function that returns one"
    factory: Callable[..., Any] = own_object(source, "network", _is_factory, expected)
    return factory


def _is_factory(value: Any, module: str) -> bool:
    while isinstance(value, partial):
        value = value.func
    if not isinstance(value, type):
        if not callable(value):
            return False
        value = inspect.unwrap(value)
    home = str(getattr(value, "__module__", ""))
    if home.partition(".")[0] != module.partition(".")[0]:
        return False
    if isinstance(value, type):
        return issubclass(value, nn.Module)
    return inspect.isfunction(value) and _may_return_module(value)


def _may_return_module(function: Callable[..., Any]) -> bool:
    """Whether what a function says of its result leaves room for a module."""
    try:
        said = get_type_hints(function).get("return", object)
    except Exception:  # hints that cannot be read say nothing
        return True
    return not isinstance(said, type) or issubclass(said, nn.Module) or issubclass(nn.Module, said)
