"""From a study to its cells: grids by axes by seeds, each cell an ordinary recipe and a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unskip.errors import UnskipError, nearest, shortened
from unskip.recipe import Recipe, changed_tree, digest, recipe_from
from unskip.study.datasets import DataSets
from unskip.study.form import Grid, combinations
from unskip.study.reading import Study

_BEFORE = re.compile(r"before:([^/]+)/(.+)")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+=-]+")
_LONGEST = 120  # characters of a folder's name


@dataclass(frozen=True)
class Cell:
    """One ordinary run of a study: its recipe, what it is called, and the folder below the study's that it has.

    ``needs`` are the folders of runs that it starts from, ``is_before`` says that others start from it.
    """

    label: str
    labels: Mapping[str, str]
    seed: int
    recipe: Recipe
    folder: str
    needs: tuple[str, ...] = ()
    is_before: bool = False


@dataclass(frozen=True)
class Cells:
    """All runs of a study by their folders, those that others start from first.

    ``places`` say which grid, with which labels, has which run: one run may be in several.
    """

    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    places: tuple[tuple[Grid, Mapping[str, str], str], ...]


@dataclass
class _CellsSoFar:
    """Cells by their folders, folders by what decides results, and places, while they are made."""

    cells: dict[str, Cell] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    places: list[tuple[Grid, Mapping[str, str], str]] = field(default_factory=list)


def cells_of(study: Study, seeds: Sequence[int], folder: Path, data: DataSets = DataSets()) -> Cells:  # noqa: B008
    """The cells of a study in ``folder`` for some seeds, with the images that ``data`` names.

    Recipes that are the same in several grids or rows are one cell. Raises `UnskipError`, which names the place, for
    settings that make no recipe, and for weights of runs that are not there.
    """
    so_far, form = _CellsSoFar(), study.form
    befores: dict[str, Recipe] = {}
    before_runs: dict[tuple[str, int], Cell] = {}
    for name, before in form.before.items():
        origin = f"{study.name}: before.{name}"
        tree = changed_tree(study.base(before.recipe or form.recipe), before.set, origin=origin)
        befores[name] = recipe_from(data.located(tree, {"before": name}), origin=origin)
        for seed in seeds:
            before_runs[name, seed] = _add(
                so_far, study, f"before {name}", {"before": name}, seed, befores[name], is_before=True
            )
    base = changed_tree(study.base(form.recipe), form.set, origin=f"{study.name}: set")
    for grid in form.grids:
        tree = changed_tree(base, grid.set, origin=f"{study.name}: set of a grid")
        for labels in combinations(grid):
            words = ", ".join(f"{axis} {label}" for axis, label in labels.items()) or "the run"
            origin = f"{study.name}, {words}"
            settings = tree
            for axis, label in labels.items():
                settings = changed_tree(settings, grid.axes[axis][label], origin=origin)
            needs = _needs(settings, befores, origin)
            recipe = recipe_from(data.located(settings, labels), origin=origin)
            for seed in seeds:
                of_seed = {name: before_runs[name, seed].folder for name in needs}
                paths = {name: str(folder.absolute() / run / "nets") for name, run in of_seed.items()}
                starts_from = tuple(of_seed.values())
                cell = _add(so_far, study, words, labels, seed, _located(recipe, paths), needs=starts_from)
                so_far.places.append((grid, labels, cell.folder))
    data.check_used()
    needed = {run for cell in so_far.cells.values() for run in cell.needs}
    cells = {folder: cell for folder, cell in so_far.cells.items() if not cell.is_before or folder in needed}
    return Cells(tuple(seeds), cells, tuple(so_far.places))


def chosen(study: Study, cells: Iterable[Cell], only: Sequence[str]) -> list[Cell]:
    """The cells that ``axis=label,label`` texts leave, all of which must hold, and the runs that these start from.

    Raises `UnskipError` for an axis or a label that the study does not have.
    """
    cells = list(cells)
    axes: dict[str, dict[str, None]] = {}
    for grid in study.form.grids:
        for axis, labels in grid.axes.items():
            axes.setdefault(axis, {}).update(dict.fromkeys(labels))
    cells_left = [cell for cell in cells if not cell.is_before]
    for text in only:
        axis, equals, listed = text.partition("=")
        values = [label.strip() for label in listed.split(",")]
        if not equals or axis not in axes:
            known = ", ".join(f"{name}={next(iter(labels))}" for name, labels in axes.items()) or "it has no axes"
            raise UnskipError(f"`only` {shortened(text)!r}: expected AXIS=LABEL{nearest(axis, axes)} (such as {known})")
        for label in values:
            if label not in axes[axis]:
                raise UnskipError(
                    f"`only` {shortened(text)!r}: {axis} has no label {label!r}{nearest(label, axes[axis])} "
                    f"(it has {', '.join(axes[axis])})"
                )
        cells_left = [cell for cell in cells_left if cell.labels.get(axis) in values]
    if not cells_left:
        raise UnskipError(f"`only` {', '.join(map(repr, only))} leaves no run of {study.name}")
    needed = {folder for cell in cells_left for folder in cell.needs}
    return [cell for cell in cells if cell.folder in needed] + cells_left


def decisive(recipe: Recipe) -> dict[str, Any]:
    """What two recipes of a study have in common when their runs give the same.

    The place of the images counts: it is all that tells two folders of images apart.
    """
    return recipe.model_dump(mode="json", exclude={"title": True, "data": {"workers"}, "teacher": {"accept_weak"}})


def _add(
    so_far: _CellsSoFar,
    study: Study,
    words: str,
    labels: Mapping[str, str],
    seed: int,
    recipe: Recipe,
    *,
    needs: tuple[str, ...] = (),
    is_before: bool = False,
) -> Cell:
    quick = " (quick)" if study.quick else ""
    of_seed = recipe.model_copy(update={"seed": seed, "title": f"{study.name}{quick}: {words}, seed {seed}"[:500]})
    identity = digest(decisive(of_seed))
    if identity in so_far.folders:
        known = so_far.cells[so_far.folders[identity]]
        cell = replace(known, labels={**labels, **known.labels})  # so that the labels of every grid find it
    else:
        base = folder = f"runs/{_folder_name(labels, seed)}"
        taken = {name.casefold() for name in so_far.cells}  # g2 and G2 are one folder to some file systems
        number = 1
        while folder.casefold() in taken:
            number += 1
            folder = f"{base}-{number}"
        words = f"{words} ({number})" if number > 1 else words
        so_far.folders[identity] = folder
        cell = Cell(words, labels, seed, of_seed, folder, needs, is_before)
    so_far.cells[cell.folder] = cell
    return cell


def _folder_name(labels: Mapping[str, str], seed: int) -> str:
    """``teacher-G1_student-g2_seed-0``: labels as a folder can be called."""
    parts = [f"{_UNSAFE.sub('-', axis)}-{_UNSAFE.sub('-', label)}" for axis, label in labels.items()]
    name = "_".join([*parts, f"seed-{seed}"])
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}-{digest(name)[:8]}"


def _needs(tree: dict[str, Any], befores: Mapping[str, Recipe], origin: str) -> list[str]:
    """The runs that the settings name by ``before:NAME/NET``, which are checked."""
    needs = []
    for text in _texts(tree):
        match = _BEFORE.fullmatch(text)
        if match is None:
            continue
        name, net = match.groups()
        if name not in befores:
            raise UnskipError(f"{origin}: no run {name!r} in `before`, which {text!r} names{nearest(name, befores)}")
        check_net(net, befores[name], f"{origin}: {text!r}")
        needs.append(name)
    return list(dict.fromkeys(needs))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _located(recipe: Recipe, nets: Mapping[str, str]) -> Recipe:
    """The recipe with the paths of the weights that it takes from runs before it."""

    def path(value: str | None) -> str | None:
        match = _BEFORE.fullmatch(value or "")
        return f"{nets[match[1]]}/{match[2]}.safetensors" if match else value

    teacher, student = recipe.teacher, recipe.student
    return recipe.model_copy(
        update={
            "teacher": teacher.model_copy(
                update={"weights": path(teacher.weights), "initial_weights": path(teacher.initial_weights)}
            ),
            "student": student.model_copy(update={"initial_weights": path(student.initial_weights)}),
        }
    )


def check_net(net: str, recipe: Recipe, origin: str) -> None:
    """Raise `UnskipError` for a net that a run of the recipe cannot have; depths are known when it has run."""
    known = ["teacher", *recipe.methods]
    if net not in known and not any(net.startswith(f"{label}-") for label in recipe.methods):
        raise UnskipError(f"{origin}: no net {net!r}{nearest(net, known)} (its run has {', '.join(known)})")
