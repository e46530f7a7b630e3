"""A study as it is written: what is run, what is read from the runs, what is printed, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from unskip.errors import nearest, shortened
from unskip.settings import Section, Title
from unskip.study_statistics import matches

Value = Literal["top1", "error", "minutes"]
Settings = Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)]
Labels = Annotated[dict[str, Settings], Field(min_length=1)]
Keys = dict[str, str | None]  # of printed facts

_COLUMNS: Mapping[Value, str] = {"top1": "top-1", "error": "top-1 error", "minutes": "minutes"}
_NAMED = re.compile(r"\{([^{}]*)\}")
_AXIS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ -]{0,49}")  # names folders, and is typed behind --only


def filled(template: str, labels: Mapping[str, str]) -> str:
    """A template with the labels of a cell in the places that name their axes, as in ``from R-{teacher}``."""
    return _NAMED.sub(lambda match: labels[match[1]], template)


def _check_names(template: str, names: Mapping[str, Any], where: str) -> None:
    for name in _NAMED.findall(template):
        if name not in names:
            axes = ", ".join(names) or "none"
            raise ValueError(f"{where} names {{{shortened(name)}}}{nearest(name, list(names))} (known here: {axes})")


class Row(Section):
    """What is read from each run of a grid: one net's figure, at one place of the table.

    Texts may name axes in braces.
    """

    row: str = Field(
        min_length=1, description="the row that the figure stands in; `{AXIS}` is the cell's label on that axis"
    )
    column: str | None = Field(
        None, min_length=1, description="its column, likewise; by default named after what is read"
    )
    net: str = Field(description="whose figure: `teacher`, a label of `methods`, or LABEL-DEPTH of a net of several")
    value: Value | None = Field(None, description="by default the study's")
    printed: Keys | None = Field(
        None, description="what tells the printed figure from all others; by default none is printed"
    )

    def templates(self) -> Iterator[str]:
        """All texts that may name axes."""
        yield from (self.row, self.column or "", self.net)
        yield from (text or "" for text in (self.printed or {}).values())


class Grid(Section):
    """Runs that differ along axes: one for each combination of labels."""

    axes: dict[str, Labels] = Field({}, description="axis: label: settings of the recipe that the label means")
    set: Settings = Field({}, description="settings of all cells of this grid")
    leave_out: list[dict[str, list[str]]] = Field([], description="combinations that are not run: labels by axis")
    rows: list[Row] = Field(min_length=1, description="what is read from each run")

    @model_validator(mode="after")
    def _names_its_axes(self) -> Grid:
        for axis, labels in self.axes.items():
            if not _AXIS.fullmatch(axis):
                raise ValueError(f"axes: {shortened(axis)!r} is no name of letters, digits, '_', '-' and spaces")
            for label in labels:
                if not label.strip() or "," in label or not label.isprintable():
                    raise ValueError(f"axes.{axis}: {shortened(label)!r} is no label; it is one line without commas")
        for combination in self.leave_out:
            for axis, left in combination.items():
                self._check_labels(axis, left)
        for row in self.rows:
            for template in row.templates():
                _check_names(template, self.axes, f"rows: {template!r}")
        return self

    def _check_labels(self, axis: str, labels: list[str]) -> None:
        if axis not in self.axes:
            raise ValueError(f"leave_out: no axis {axis!r}{nearest(axis, self.axes)} (known: {', '.join(self.axes)})")
        for label in labels:
            if label not in self.axes[axis]:
                known = ", ".join(self.axes[axis])
                raise ValueError(
                    f"leave_out: {axis} has no {label!r}{nearest(label, self.axes[axis])} (it has {known})"
                )


class Before(Section):
    """An ordinary run that others start from: its weights of NET are `before:NAME/NET` in their settings."""

    recipe: str | None = Field(None, description="by default the study's")
    set: Settings = Field({}, description="settings on top of it; those of the study do not apply")


class Derived(Section):
    """A row that is computed, column by column and seed by seed: `of` or the best of `best`, minus `minus`."""

    of: str | None = Field(None, description="a row, which may be an earlier derived one")
    best: str | None = Field(
        None, description="a pattern of rows, such as `from *`: the one with the best mean over the seeds counts"
    )
    minus: str = Field(description="the row to subtract")
    printed: Keys | None = Field(None, description="as in rows; `{column}` is the column's name")

    @model_validator(mode="after")
    def _one_minuend(self) -> Derived:
        if (self.of is None) == (self.best is None):
            raise ValueError("give `of`, a row, or `best`, a pattern of rows")
        for text in (self.printed or {}).values():
            _check_names(text or "", {"column": ""}, repr(text))
        return self


class Counted(Section):
    """In how many columns a row lies below or above a limit."""

    row: str = Field(description="a row, or a derived one")
    below: float | None = Field(None, description="in per cent or points, or in minutes")
    above: float | None = Field(None, description="likewise")

    @model_validator(mode="after")
    def _has_a_limit(self) -> Counted:
        if self.below is None and self.above is None:
            raise ValueError("give `below`, `above` or both")
        return self


class Conclusion(Section):
    """What the paper concludes: one row is better than another, or one column."""

    better: str = Field(description="a row, or a column")
    than: str = Field(description="another")
    columns: str | None = Field(
        None, description="a pattern of the columns to which it applies, for two rows; by default all"
    )
    statement: str = Field("", description="the conclusion in a sentence")


class Quick(Section):
    """The quick form of a study: what differs from it."""

    reduced: str = Field(min_length=1, max_length=500, description="what is smaller than in the paper, in a sentence")
    minutes: float | None = Field(None, gt=0, description="measured on a machine with two cores, for three seeds")
    recipe: str | None = Field(None, description="instead of the study's")
    set: Settings = Field({}, description="settings on top of the study's and the grids', below the axes'")
    axes: dict[str, Labels | list[str]] = Field(
        {}, description="a list keeps these labels of an axis; a mapping takes its place"
    )
    before: dict[str, Before] = Field({}, description="in place of those with the same name")

    @field_validator("axes", mode="before")
    @classmethod
    def _lists_or_mappings(cls, axes: Any) -> Any:
        for axis, labels in axes.items() if isinstance(axes, dict) else ():
            if not isinstance(labels, list | dict) or not labels:
                raise ValueError(f"{axis}: expected the labels that stay, or labels with their settings")
        return axes


class StudyForm(Section):
    """A study as a whole."""

    title: Title = Field(min_length=1, max_length=200, description="the page's heading")
    source: str | None = Field(None, description="what the printed figures are: a paper's short name and its table")
    recipe: str | None = Field(
        None, description="the base of all runs: a name from `unskip recipes`, or a file beside the study"
    )
    set: Settings = Field({}, description="settings of the recipe for every cell, with dotted keys")
    before: dict[str, Before] = Field({}, description="runs made first, one for each seed")
    grids: list[Grid] = Field(min_length=1, description="the runs; equal runs in several grids are run once")
    value: Value = Field("top1", description="top1, error (1 - top1), or minutes of training")
    printed: Keys = Field({}, description="what the printed figures have in common: paper, table, dataset")
    derived: dict[str, Derived] = Field({}, description="rows computed from others")
    counted: dict[str, Counted] = Field({}, description="in how many columns a row is below or above a limit")
    conclusions: list[Conclusion] = Field([], description="which rows are better than which, as the paper concludes")
    curves: bool = Field(False, description="also show accuracy by epoch")
    quick: Quick | None = Field(None, description="the quick form, for machines without a GPU")

    @model_validator(mode="after")
    def _names_what_there_is(self) -> StudyForm:
        rows = self.rows
        for name, derived in self.derived.items():
            if name in rows:
                raise ValueError(f"derived.{name}: a row of the grids is called so; rename one")
            for key, row in {"of": derived.of, "minus": derived.minus}.items():
                if row is not None:
                    _check_row(row, rows, f"derived.{name}.{key}")
            if derived.best is not None and not any(matches(row, derived.best) for row in rows):
                raise ValueError(f"derived.{name}.best: {derived.best!r} fits no row (rows: {', '.join(rows)})")
            rows.append(name)
        for name, counted in self.counted.items():
            _check_row(counted.row, rows, f"counted.{name}.row")
        for number, each in enumerate(self.conclusions):
            places = self.columns if {each.better, each.than} & {*self.columns} else rows
            _check_row(each.better, places, f"conclusions.{number}.better")
            _check_row(each.than, places, f"conclusions.{number}.than")
            if each.columns is not None and not any(matches(column, each.columns) for column in self.columns):
                known = ", ".join(self.columns)
                raise ValueError(f"conclusions.{number}.columns: {each.columns!r} fits no column (columns: {known})")
        if self.quick is not None:
            self._check_quick(self.quick)
        return self

    def _check_quick(self, quick: Quick) -> None:
        labels_of: dict[str, dict[str, Any]] = {}
        for grid in self.grids:
            for axis, labels in grid.axes.items():
                labels_of[axis] = labels_of.get(axis, {}) | labels
        for axis, kept in quick.axes.items():
            if axis not in labels_of:
                raise ValueError(
                    f"quick.axes: no axis {axis!r}{nearest(axis, labels_of)} (known: {', '.join(labels_of)})"
                )
            for label in kept if isinstance(kept, list) else ():
                if label not in labels_of[axis]:
                    raise ValueError(f"quick.axes.{axis}: no label {label!r}{nearest(label, labels_of[axis])}")
        for name in quick.before:
            if name not in self.before:
                raise ValueError(f"quick.before: no run {name!r}{nearest(name, self.before)}")

    @property
    def rows(self) -> list[str]:
        """The names of all rows that are read, in order."""
        return list(dict.fromkeys(row for row, _ in self._places()))

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in order: those of the first row, then what the next rows have besides."""
        place = {row: number for number, row in enumerate(self.rows)}
        return list(dict.fromkeys(column for _, column in sorted(self._places(), key=lambda each: place[each[0]])))

    def place(self, row: Row, labels: Mapping[str, str]) -> tuple[str, str]:
        """The row and the column of what is read from a cell."""
        column = _COLUMNS[row.value or self.value] if row.column is None else filled(row.column, labels)
        return filled(row.row, labels), column

    def _places(self) -> Iterator[tuple[str, str]]:
        for grid in self.grids:
            for labels in combinations(grid):
                yield from (self.place(row, labels) for row in grid.rows)


def combinations(grid: Grid) -> Iterator[dict[str, str]]:
    """The combinations of a grid's labels that are run, the last axis changing first."""
    combinations: list[dict[str, str]] = [{}]
    for axis, labels in grid.axes.items():
        combinations = [combination | {axis: label} for combination in combinations for label in labels]
    for combination in combinations:
        if not any(all(combination[axis] in left for axis, left in out.items()) for out in grid.leave_out):
            yield combination


def _check_row(row: str, rows: list[str], where: str) -> None:
    if row not in rows:
        raise ValueError(f"{where}: no row {shortened(row)!r}{nearest(row, rows)} (rows: {', '.join(rows)})")
