"""The edits by name, `unskip.edits.without_shortcuts(net)`: each takes any network and returns a new one.

They are what ``edits`` of a recipe names, in files of `unskip.surgery`. For Python only, and recorded in no spec, are
`extract`, `fit_without_shortcuts`, `with_recalibrated_statistics`, `without_depth_statistics`,
`without_faded_shortcuts`, and `set_shortcut_factor`, which changes a network in place.
"""

from __future__ import annotations

from collections.abc import Callable

from unskip.nets import StagedNet
from unskip.nets.fading import set_shortcut_factor
from unskip.surgery import (
    EDITS,
    at_depth,
    extract,
    fit_without_shortcuts,
    fold_batchnorm,
    fold_dirac,
    with_depth_statistics,
    with_dirac_convs,
    with_fading_shortcuts,
    with_grouped_convs,
    with_lean_stem,
    with_pruned_channels,
    with_recalibrated_statistics,
    with_shortened_shortcuts,
    without_depth_statistics,
    without_faded_shortcuts,
    without_shortcuts,
    without_shortcuts_exactly,
)

__all__ = [
    "at_depth",
    "extract",
    "fit_without_shortcuts",
    "fold_batchnorm",
    "fold_dirac",
    "set_shortcut_factor",
    "with_depth_statistics",
    "with_dirac_convs",
    "with_fading_shortcuts",
    "with_grouped_convs",
    "with_lean_stem",
    "with_pruned_channels",
    "with_recalibrated_statistics",
    "with_shortened_shortcuts",
    "without_depth_statistics",
    "without_faded_shortcuts",
    "without_shortcuts",
    "without_shortcuts_exactly",
]


def __getattr__(name: str) -> Callable[..., StagedNet]:
    """An edit that somebody added to the folder."""
    if name not in EDITS:
        raise AttributeError(f"module 'unskip.edits' has no attribute {name!r}")
    return EDITS[name]


def __dir__() -> list[str]:
    return sorted({*__all__, *EDITS})
