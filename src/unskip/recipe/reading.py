"""Recipes from YAML and from settings such as ``training.epochs=8``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from unskip.errors import UnskipError, first_line
from unskip.recipe.sections import Recipe
from unskip.settings import explain, nearest

__all__ = ["load_recipe", "load_tree", "named_recipes", "parse_edits", "parse_setting", "recipe_from"]


def named_recipes() -> dict[str, Path]:
    """The recipes that come with the project, by name."""
    package = Path(__file__).resolve().parents[1]
    installed, checkout = package / "recipes", package.parents[1] / "recipes"
    folder = installed if installed.is_dir() else checkout
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_tree(source: str | Path) -> dict[str, Any]:
    """The plain data of a recipe: a YAML file, or the name of one that comes with the project."""
    known = named_recipes()
    path = known.get(str(source), Path(source))
    if not path.is_file():
        near = nearest(str(source), known)
        raise UnskipError(f"no recipe {str(source)!r}: neither a file nor one of `unskip recipes`{near}")
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnskipError(f"{path} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UnskipError(f"{path} must hold keys and values (a mapping), such as `seed: 0`")
    return tree


def load_recipe(source: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one that comes with the project.

    ``settings`` are changes such as ``training.epochs=8``, applied before anything is checked.
    """
    return recipe_from(load_tree(source), settings, origin=str(source))


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: ``1e-4`` is one, where YAML 1.1 reads a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def recipe_from(tree: Mapping[str, Any], settings: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """A recipe from plain data, with settings such as ``training.epochs=8`` applied on top."""
    changed: dict[str, Any] = json.loads(json.dumps(tree))
    for setting in settings:
        _apply(changed, setting)
    try:
        return Recipe.model_validate(changed)
    except ValidationError as error:
        raise UnskipError(explain(error, Recipe, origin)) from error


def parse_setting(setting: str) -> tuple[str, Any]:
    """Key and value of a setting such as ``training.epochs=8``; the value is YAML."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UnskipError(f"--set {setting!r}: expected KEY=VALUE, such as training.epochs=8")
    try:
        return key, yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise UnskipError(f"--set {setting!r}: the value is not YAML: {error}") from error


def parse_edits(texts: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Edits as a command line says them: ``without_shortcuts``, or YAML, ``with_grouped_convs: {groups: 2}``."""
    edits: list[tuple[str, dict[str, Any]]] = []
    for text in texts:
        try:
            found = yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise UnskipError(f"--edit {text!r} is not YAML: {first_line(error)}") from error
        entry = {found: {}} if isinstance(found, str) else found
        if not isinstance(entry, dict) or len(entry) != 1 or not all(isinstance(a, dict) for a in entry.values()):
            raise UnskipError(f"--edit {text!r}: expected NAME or 'NAME: {{argument: value}}'")
        edits += entry.items()
    return edits


def _apply(tree: dict[str, Any], setting: str) -> None:
    key, value = parse_setting(setting)
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        node[parent] = child = {} if child is None else child
        if not isinstance(child, dict):
            raise UnskipError(f"--set {setting!r}: {parent} is a value and has no fields of its own")
        node = child
    node[last] = value
