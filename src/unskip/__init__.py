"""Train with shortcuts, deploy without.

`unskip` removes the shortcut connections of residual CNNs, trains the plain network by knowledge distillation so that
it keeps its accuracy, exports it, and measures on the exported file what was gained. What is public is in __init__.pyi,
for readers, for type checkers, and for what imports a name when it is first used: `unskip --help` waits for no torch.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

_HOME_OF = {
    alias.name: node.module
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'unskip' has no attribute {name!r}")
    home = _HOME_OF[name]
    return getattr(import_module(f"unskip.{home}"), name) if home else import_module(f"unskip.{name}")


def __dir__() -> list[str]:
    return list(__all__)
