"""Train with shortcuts, deploy without.

`unskip` removes the shortcut connections of residual CNNs, trains the plain network by knowledge distillation so that
it keeps its accuracy, exports it, and measures on the exported file what was gained. Everything public is here by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unskip.budget import Budget, fit_budget
    from unskip.data import Data, load_data
    from unskip.data_info import DataInfo
    from unskip.dataflow import count_macs, forecast, inventory, num_parameters
    from unskip.errors import UnskipError
    from unskip.evaluation import evaluate
    from unskip.export import export_net
    from unskip.inspection import inspect_net
    from unskip.measure import measure_latency
    from unskip.methods import FrozenTeacher, Method, Objective, Phase, method_from
    from unskip.methods.align_kd import AlignKD
    from unskip.methods.ce import CE
    from unskip.methods.embedded_kd import EmbeddedKD
    from unskip.methods.fade_kd import FadeKD
    from unskip.methods.fitnets import FitNets
    from unskip.methods.joint_rd import JointRD
    from unskip.methods.kd import KD
    from unskip.methods.stagewise_kd import StagewiseKD
    from unskip.nets import NetSpec, Residual, StagedNet, kept_branches, make_net, parse, unopened_modules
    from unskip.own_code import allow_module
    from unskip.planning import plan
    from unskip.preprocessing import prepare
    from unskip.recipe import DataRecipe, Recipe, TrainingRecipe, load_recipe, recipe_from
    from unskip.report import write_report
    from unskip.run import run_recipe
    from unskip.runtimes import read_metadata
    from unskip.surgery import (
        build,
        extract,
        fold_batchnorm,
        fold_dirac,
        with_depth_statistics,
        with_dirac_convs,
        with_fading_shortcuts,
        with_grouped_convs,
        with_lean_stem,
        with_recalibrated_statistics,
        with_shortened_shortcuts,
        without_depth_statistics,
        without_shortcuts,
        without_shortcuts_exactly,
    )
    from unskip.training import distill, plain
    from unskip.weights import load_net, load_weights, save_net

_HOMES = {
    "budget": ("Budget", "fit_budget"),
    "data": ("Data", "load_data"),
    "dataflow": ("count_macs", "forecast", "inventory", "num_parameters"),
    "data_info": ("DataInfo",),
    "errors": ("UnskipError",),
    "evaluation": ("evaluate",),
    "export": ("export_net",),
    "inspection": ("inspect_net",),
    "measure": ("measure_latency",),
    "methods": (
        "AlignKD",
        "CE",
        "EmbeddedKD",
        "FadeKD",
        "FitNets",
        "FrozenTeacher",
        "JointRD",
        "KD",
        "Method",
        "Objective",
        "Phase",
        "StagewiseKD",
        "method_from",
    ),
    "nets": (
        "NetSpec",
        "Residual",
        "StagedNet",
        "kept_branches",
        "make_net",
        "parse",
        "unopened_modules",
    ),
    "own_code": ("allow_module",),
    "planning": ("plan",),
    "preprocessing": ("prepare",),
    "recipe": ("DataRecipe", "Recipe", "TrainingRecipe", "load_recipe", "recipe_from"),
    "report": ("write_report",),
    "run": ("run_recipe",),
    "runtimes": ("read_metadata",),
    "surgery": (
        "build",
        "extract",
        "fold_batchnorm",
        "fold_dirac",
        "with_depth_statistics",
        "with_dirac_convs",
        "with_grouped_convs",
        "with_fading_shortcuts",
        "with_lean_stem",
        "with_recalibrated_statistics",
        "with_shortened_shortcuts",
        "without_depth_statistics",
        "without_shortcuts",
        "without_shortcuts_exactly",
    ),
    "training": ("distill", "plain"),
    "weights": ("load_net", "load_weights", "save_net"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CE",
    "KD",
    "AlignKD",
    "Budget",
    "Data",
    "DataInfo",
    "DataRecipe",
    "EmbeddedKD",
    "FadeKD",
    "FitNets",
    "FrozenTeacher",
    "JointRD",
    "Method",
    "NetSpec",
    "Objective",
    "Phase",
    "Recipe",
    "Residual",
    "StagedNet",
    "StagewiseKD",
    "TrainingRecipe",
    "UnskipError",
    "allow_module",
    "build",
    "count_macs",
    "distill",
    "evaluate",
    "export_net",
    "extract",
    "fit_budget",
    "fold_batchnorm",
    "fold_dirac",
    "forecast",
    "inspect_net",
    "inventory",
    "kept_branches",
    "load_data",
    "load_net",
    "load_recipe",
    "load_weights",
    "make_net",
    "measure_latency",
    "method_from",
    "num_parameters",
    "parse",
    "plain",
    "plan",
    "prepare",
    "read_metadata",
    "recipe_from",
    "run_recipe",
    "save_net",
    "unopened_modules",
    "with_depth_statistics",
    "with_dirac_convs",
    "with_fading_shortcuts",
    "with_grouped_convs",
    "with_lean_stem",
    "with_recalibrated_statistics",
    "with_shortened_shortcuts",
    "without_depth_statistics",
    "without_shortcuts",
    "without_shortcuts_exactly",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `unskip --help` need not wait for torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'unskip' has no attribute {name!r}")
    return getattr(importlib.import_module(f"unskip.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
