"""Distillation methods, one file each; the file's name is the method's name everywhere."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from unskip.errors import UnskipError
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase
from unskip.settings import explain, nearest

__all__ = [
    "FrozenTeacher",
    "Method",
    "Objective",
    "Phase",
    "method_card",
    "method_class",
    "method_from",
    "method_names",
]


def method_names() -> list[str]:
    """The names of all methods: the files of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def method_class(name: str) -> type[Method]:
    """The method of that name; `UnskipError` when there is none."""
    if name not in method_names():
        raise UnskipError(f"no method {name!r}{nearest(name, method_names())} (known: {', '.join(method_names())})")
    module = importlib.import_module(f"{__name__}.{name}")
    (found,) = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Method) and member.__module__ == module.__name__
    ]
    return found


def method_card(name: str) -> str:
    """The card of a method: its file's docstring."""
    return inspect.getdoc(inspect.getmodule(method_class(name))) or ""


def method_from(label: str, fields: Mapping[str, Any]) -> Method:
    """The method that a recipe names.

    ``fields`` are its hyper-parameters, and ``method`` among them its name where the label is not.
    """
    fields = dict(fields)
    name = str(fields.pop("method", label))
    found = method_class(name)
    try:
        return found(**fields)
    except ValidationError as error:
        raise UnskipError(explain(error, found, f"methods.{label}")) from error
