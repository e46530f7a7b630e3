"""Studies from YAML files, and in their quick form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unskip.errors import UnskipError, nearest, shortened
from unskip.listing import named_recipes, named_studies
from unskip.recipe import load_tree
from unskip.recipe.yaml_text import yaml_file
from unskip.settings import explain
from unskip.study.form import Grid, Quick, StudyForm
from unskip.study_statistics import matches


@dataclass(frozen=True)
class Study:
    """A study in the form that is carried out: whole, or ``quick``. ``home`` is where its file lies."""

    name: str
    form: StudyForm
    quick: bool
    home: Path

    @property
    def reduced(self) -> str:
        """What is smaller than in the paper; nothing in the whole form."""
        return self.form.quick.reduced if self.quick and self.form.quick else ""

    def base(self, recipe: str | None) -> dict[str, Any]:
        """The plain data of a recipe that the study names; of the defaults where it names none."""
        if recipe is None:
            return {}
        beside = self.home / recipe
        return load_tree(beside if recipe not in named_recipes() and beside.is_file() else recipe)


def load_study(source: str | Path, *, quick: bool = False) -> Study:
    """A study from a YAML file, or by the name of one that comes with the project.

    Raises `UnskipError` for what is no study, and where a quick form is asked for that it does not have.
    """
    known = named_studies()
    path = known.get(str(source), Path(source))
    if not path.is_file():
        near = nearest(str(source), known)
        raise UnskipError(f"no study {shortened(str(source))!r}: neither a file nor one of `unskip study`{near}")
    tree = yaml_file(path)
    if not isinstance(tree, dict):
        raise UnskipError(f"{path} must hold keys and values (a mapping), such as `title: My study`")
    form = study_form(tree, origin=str(path))
    if quick:
        if form.quick is None:
            raise UnskipError(f"{path.stem} has no quick form; leave `quick` out, or write its section `quick`")
        form = _small(form, form.quick)
    return Study(path.stem, form, quick, path.parent)


def study_form(tree: dict[str, Any], *, origin: str) -> StudyForm:
    """The form that plain data has; `UnskipError`, which names the place, where it has none."""
    try:
        return StudyForm.model_validate(tree)
    except ValidationError as error:
        raise UnskipError(explain(error, StudyForm, origin)) from error


def _small(form: StudyForm, quick: Quick) -> StudyForm:
    """The form with what its quick form changes; rows that follow from what is left out go with it."""
    grids = [small for grid in form.grids if (small := _small_grid(grid, quick)) is not None]
    if not grids:
        raise UnskipError("quick.axes leaves no run: no grid has one of the labels of every axis")
    changed = form.model_copy(
        update={
            "recipe": quick.recipe or form.recipe,
            "grids": grids,
            "before": {
                name: quick.before.get(name) or before.model_copy(update={"set": before.set | quick.set})
                for name, before in form.before.items()
            },
        }
    )
    rows, derived = changed.rows, {}
    for name, row in form.derived.items():
        if row.minus in rows and (row.of in rows or any(matches(each, row.best or "") for each in rows)):
            derived[name] = row
            rows.append(name)
    has = {*rows, *changed.columns}
    return changed.model_copy(
        update={
            "derived": derived,
            "counted": {name: counted for name, counted in form.counted.items() if counted.row in has},
            "conclusions": [
                conclusion for conclusion in form.conclusions if {conclusion.better, conclusion.than} <= has
            ],
        }
    )


def _small_grid(grid: Grid, quick: Quick) -> Grid | None:
    axes = {}
    for axis, labels in grid.axes.items():
        change = quick.axes.get(axis, labels)
        axes[axis] = change if isinstance(change, dict) else {name: labels[name] for name in change if name in labels}
        if not axes[axis]:
            return None
    settings = {key: value for key, value in grid.set.items() if key not in quick.set} | quick.set
    return grid.model_copy(update={"axes": axes, "set": settings})
