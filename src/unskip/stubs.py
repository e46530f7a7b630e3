"""Packages whose names stand in a stub beside their ``__init__.py``, and are imported when they are first used."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def named_by_stub(package: str, file: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """What a package needs to give the names of its stub: ``__all__``, ``__getattr__`` and ``__dir__``.

    ``package`` and ``file`` are the package's ``__name__`` and ``__file__``.
    """
    home_of = {
        alias.name: f"{package}.{node.module}" if node.module else package
        for node in ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        return import_module(f"{package}.{name}") if home == package else getattr(import_module(home), name)

    return sorted(home_of), get, lambda: sorted(home_of)
