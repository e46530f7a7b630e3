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
# Names that are no longer public, until nothing uses them any more.
_LEAVING = {
    "data": ("Data",),
    "data_info": ("DataInfo",),
    "dataflow": ("count_macs", "num_parameters"),
    "compare": ("measure_latency",),
    "methods": ("method_from",),
    "nets": ("kept_branches", "unopened_modules"),
    "search": ("plan",),
    "recipe": ("Recipe", "recipe_from"),
    "report": ("write_report",),
    "surgery": (
        *("extract", "fold_batchnorm", "fold_dirac", "with_depth_statistics", "with_dirac_convs"),
        *("with_fading_shortcuts", "with_grouped_convs", "with_lean_stem", "with_recalibrated_statistics"),
        *("with_shortened_shortcuts", "without_depth_statistics", "without_shortcuts", "without_shortcuts_exactly"),
    ),
    "weights": ("load_weights",),
}
_HOME_OF |= {name: home for home, names in _LEAVING.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'unskip' has no attribute {name!r}")
    home = _HOME_OF[name]
    return getattr(import_module(f"unskip.{home}"), name) if home else import_module(f"unskip.{name}")


def __dir__() -> list[str]:
    return list(__all__)
