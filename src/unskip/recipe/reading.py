"""Recipes from YAML and from settings such as ``training.epochs=8``."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unskip.errors import UnskipError, first_line, nearest, shortened
from unskip.listing import named_recipes
from unskip.recipe.sections import Recipe, name_and_arguments
from unskip.recipe.yaml_text import read_yaml, yaml_file
from unskip.settings import explain

_MOST_PARTS = 8  # of a key; no setting lies as deep


def load_tree(source: str | Path) -> dict[str, Any]:
    """The plain data of a recipe: a YAML file, or the name of one that comes with the project."""
    known = named_recipes()
    path = known.get(str(source), Path(source))
    if not path.is_file():
        near = nearest(str(source), known)
        raise UnskipError(f"no recipe {str(source)!r}: neither a file nor one of `unskip recipes`{near}")
    tree = yaml_file(path)
    if not isinstance(tree, dict):
        raise UnskipError(f"{path} must hold keys and values (a mapping), such as `seed: 0`")
    return tree


def load_recipe(source: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one that comes with the project.

    ``settings`` are changes such as ``training.epochs=8``, applied before anything is checked.
    """
    return recipe_from(load_tree(source), settings, origin=str(source))


def recipe_from(tree: Mapping[str, Any], settings: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """A recipe from plain data, with settings such as ``training.epochs=8`` applied on top."""
    try:
        changed: dict[str, Any] = json.loads(json.dumps(tree, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:  # dates, NaN, what holds itself
        raise UnskipError(f"{origin} holds what is no plain data: {first_line(error)}") from error
    if isinstance(changed.get("task"), str):  # so that settings can change its fields
        changed["task"] = {"name": changed["task"]}
    for setting in settings:
        _set(changed, *_parsed(setting), f"`settings` {shortened(setting)!r}")
    try:
        return Recipe.model_validate(changed)
    except ValidationError as error:
        raise UnskipError(explain(error, Recipe, origin)) from error


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """The keys and values of settings such as ``training.epochs=8``, of which the last one of a key counts."""
    return dict(map(_parsed, settings))


def _parsed(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    parts = key.split(".")
    if not equals or not all(parts) or len(parts) > _MOST_PARTS:
        raise UnskipError(f"`settings` {shortened(setting)!r}: expected KEY=VALUE, such as training.epochs=8")
    return key, read_yaml(text, f"`settings` {shortened(setting)!r}: the value")


def parse_edits(texts: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Edits from texts: ``without_shortcuts``, or YAML, ``with_grouped_convs: {groups: 2}``."""
    edits: list[tuple[str, dict[str, Any]]] = []
    for text in texts:
        entry = read_yaml(text, f"`edits` {shortened(text)!r}")
        try:
            edits.append(name_and_arguments(entry))
        except ValueError as error:
            raise UnskipError(f"`edits` {shortened(text)!r}: {error}") from error
    return edits


def changed_tree(tree: Mapping[str, Any], changes: Mapping[str, Any], *, origin: str) -> dict[str, Any]:
    """The plain data of a recipe with some values changed, by keys such as ``training.epochs``, in their order.

    Raises `UnskipError`, which begins with ``origin``, for a key below what is a value.
    """
    changed = copy.deepcopy(dict(tree))
    if isinstance(changed.get("task"), str):  # so that changes can be of its fields
        changed["task"] = {"name": changed["task"]}
    for key, value in changes.items():
        _set(changed, key, copy.deepcopy(value), f"{origin}: {shortened(key)}")
    return changed


def _set(tree: dict[str, Any], key: str, value: Any, origin: str) -> None:
    *parents, last = key.split(".")
    if not all((*parents, last)) or len(parents) >= _MOST_PARTS:
        raise UnskipError(f"{origin}: expected a key, such as training.epochs")
    node = tree
    for parent in parents:
        child = node.get(parent)
        node[parent] = child = {} if child is None else child
        if not isinstance(child, dict):
            raise UnskipError(f"{origin}: {parent} is a value and has no fields of its own")
        node = child
    node[last] = value
