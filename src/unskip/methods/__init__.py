"""Distillation methods, one file each; the file's name is the method's name everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from unskip.errors import UnskipError
from unskip.listing import Listing
from unskip.methods.base import DistillationLoss, FrozenTeacher, Method, Objective, Phase
from unskip.own_code import own_object

__all__ = [
    "METHODS",
    "DistillationLoss",
    "FrozenTeacher",
    "Method",
    "Objective",
    "Phase",
    "method_class",
    "method_from",
]

METHODS = Listing(__name__, Method, "method")  # type: ignore[type-abstract]
"""By name."""


def __getattr__(name: str) -> type[Method]:
    """A method by the name of its class, such as `AlignKD`."""
    for method in METHODS.values() if name[:1].isupper() else ():
        if method.__name__ == name:
            return method
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def method_class(name: str) -> type[Method]:
    """The method of that name, or one of the user's own by ``MODULE:CLASS``; `UnskipError` when there is none.

    The module of one's own must be allowed (:func:`unskip.allow_module`).
    """
    if ":" not in name:
        return METHODS[name]
    method: type[Method] = own_object(name, "method", _is_method, "a subclass of unskip.Method")
    return method


def _is_method(value: Any, module: str) -> bool:
    return inspect.isclass(value) and issubclass(value, Method) and value.__module__ == module


def method_from(label: str, fields: Mapping[str, Any]) -> Method:
    """The method that a recipe names.

    ``fields`` are its hyper-parameters, and ``method`` among them its name where the label is not; ``training`` is not
    the method's, but the recipe's (see `unskip.recipe.Recipe.training_of`).
    """
    fields = {name: value for name, value in fields.items() if name != "training"}
    method = method_class(str(fields.pop("method", label)))
    try:
        return method(**fields)
    except UnskipError as error:
        raise UnskipError(f"methods.{label}: {str(error).removeprefix(f'{method.name_of_class()}: ')}") from error
