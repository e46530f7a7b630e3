"""What a study's runs come to, as ``study.json`` holds it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from unskip.records.figures import Record
from unskip.records.reading import read_record

Value = Literal["top1", "error", "minutes"]
State = Literal["done", "missing", "failed"]

Words = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Curve = tuple[tuple[Annotated[int, Field(ge=0)], Number], ...]

_ROUNDING = 1e-6  # of differences between figures in per cent or minutes


class StudyCell(Record):
    """One combination of a study's ``labels`` under one seed: an ordinary run, or the run that is still to be made.

    ``run`` is the run's folder within the study's, with slashes. ``why`` says in words what a cell that is not done
    is waiting for or has failed of. ``seconds`` is the time that its run took, None where it is not done.
    """

    label: Words
    labels: dict[str, str] = Field(default_factory=dict)
    seed: Seed
    run: Words
    state: State
    why: str = ""
    seconds: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> StudyCell:
        path = PurePosixPath(self.run)
        if path.is_absolute() or ".." in path.parts or "\\" in self.run:
            raise ValueError(f"run must be a folder within the study's, got {self.run!r}")
        if self.state == "done" and self.why:
            raise ValueError(f"a cell that is done has nothing to explain, got why {self.why!r}")
        if self.state == "failed" and not self.why:
            raise ValueError("a cell that failed must say why")
        return self


class Entry(Record):
    """A cell of the paper's table: what is printed there, and what the runs of the study give, by seed.

    All its figures are in the unit in which they are printed: per cent (0 to 100) for ``top1`` and ``error`` (100 less
    the top-1 accuracy), minutes of training for ``minutes``. ``runs`` names the run behind every figure, as its cell
    does. ``curve`` has, by seed, the epochs of the training from 1 and the score after each, in per cent; ``minutes``
    how long the training took, whatever the ``value``, of seeds under which the net was trained in its run.
    ``at_chance`` are the seeds under which the net answers no better than guessing (`unskip.chance`).
    """

    row: Words
    column: Words
    value: Value = "top1"
    printed: Number | None = None
    measured: dict[Seed, Number] = Field(default_factory=dict)
    runs: dict[Seed, Words] = Field(default_factory=dict)
    curve: dict[Seed, Curve] = Field(default_factory=dict)
    minutes: dict[Seed, Annotated[Number, Field(ge=0)]] = Field(default_factory=dict)
    at_chance: tuple[Seed, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        where = f"{self.row!r}, {self.column!r}"
        if self.measured.keys() != self.runs.keys():
            raise ValueError(f"{where}: every figure needs its run, got seeds {[*self.measured]} and runs {self.runs}")
        most = float("inf") if self.value == "minutes" else 100
        values = [*self.measured.values(), *([] if self.printed is None else [self.printed])]
        if outside := [value for value in values if not 0 <= value <= most]:
            raise ValueError(f"{where}: {self.value} must be from 0 to {most:g}, got {outside}")
        if strange := (self.curve.keys() | self.minutes.keys()) - self.measured.keys():
            raise ValueError(f"{where}: a training needs its figure, got trainings of the seeds {sorted(strange)}")
        if unknown := set(self.at_chance) - self.measured.keys():
            raise ValueError(f"{where}: only what is measured can be at chance, got the seeds {sorted(unknown)}")
        for curve in self.curve.values():
            epochs = [epoch for epoch, _ in curve]
            if epochs != sorted(set(epochs)):
                raise ValueError(f"{where}: the epochs of a curve must rise, got {epochs}")
            if not all(0 <= score <= 100 for _, score in curve):
                raise ValueError(f"{where}: the scores of a curve must be from 0 to 100")
        return self


class Derived(Record):
    """What is computed in one column, seed by seed: the row ``of`` less the row ``minus``.

    ``best`` is the pattern of rows out of which ``of`` was chosen by its mean over seeds, None where it was not. The
    unit is that of its rows, points for what they have in per cent.
    """

    row: Words
    column: Words
    value: Value = "top1"
    printed: Number | None = None
    measured: dict[Seed, Number] = Field(default_factory=dict)
    of: Words
    minus: Words
    best: str | None = None


class Counted(Record):
    """In how many columns the mean of a ``row`` is ``below`` a limit, ``above`` one, or between the two."""

    name: Words
    row: Words
    below: Number | None = None
    above: Number | None = None

    @model_validator(mode="after")
    def _limited(self) -> Counted:
        if self.below is None and self.above is None:
            raise ValueError(f"{self.name!r} must say `below` or `above` what it counts")
        return self


class Conclusion(Record):
    """What the paper concludes: a row, or a column, is ``better`` ``than`` another; ``statement`` has it in words.

    ``columns`` is the pattern of the columns in which it is said of two rows, None where it is said of all.
    """

    better: Words
    than: Words
    columns: Words | None = None
    statement: str = ""


class Study(Record):
    """The whole of ``study.json``. Rows stand in the order of ``entries``, then of ``derived``.

    ``title`` is that of the full form, ``source`` names what the printed figures are taken from, empty for a study of
    one's own. ``reduced`` says in words what a ``quick`` form has less of. ``seconds`` is the time of all its runs.
    """

    name: Words
    title: Words
    source: str = ""
    quick: bool = False
    reduced: str = ""
    unskip: str
    seeds: tuple[Seed, ...] = Field(min_length=1)
    cells: tuple[StudyCell, ...] = ()
    entries: tuple[Entry, ...] = ()
    derived: tuple[Derived, ...] = ()
    counted: tuple[Counted, ...] = ()
    conclusions: tuple[Conclusion, ...] = ()
    seconds: float = Field(ge=0)

    @model_validator(mode="after")
    def _complete(self) -> Study:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        if self.quick != bool(self.reduced):
            raise ValueError("a quick form, and no other, says what it has `reduced`")
        _check_distinct([(cell.label, cell.seed) for cell in self.cells], "cells")
        places = [(entry.row, entry.column) for entry in self.everything]
        _check_distinct(places, "entries")
        seeds = {cell.seed for cell in self.cells}
        for each in self.everything:
            seeds |= each.measured.keys()
        if strange := seeds - set(self.seeds):
            raise ValueError(f"the seeds are {list(self.seeds)}, got figures or cells of {sorted(strange)}")
        return self

    @model_validator(mode="after")
    def _figures_have_runs(self) -> Study:
        done = {(cell.seed, cell.run) for cell in self.cells if cell.state == "done"}
        for entry in self.entries:
            if strange := [run for seed, run in entry.runs.items() if (seed, run) not in done]:
                raise ValueError(f"{entry.row!r}, {entry.column!r}: no cell that is done has the run {strange[0]!r}")
        measured = {(entry.row, entry.column): entry.measured for entry in self.entries}
        for each in self.derived:
            of, minus = (measured.get((row, each.column), {}) for row in (each.of, each.minus))
            right = {seed: of[seed] - minus[seed] for seed in of if seed in minus}
            if right.keys() != each.measured.keys() or any(
                abs(right[seed] - value) > _ROUNDING for seed, value in each.measured.items()
            ):
                raise ValueError(f"{each.row!r}, {each.column!r}: {each.of} less {each.minus} is {right}")
            measured[each.row, each.column] = each.measured
        return self

    @property
    def everything(self) -> tuple[Entry | Derived, ...]:
        """The entries, then what is computed from them."""
        return (*self.entries, *self.derived)

    @property
    def rows(self) -> tuple[str, ...]:
        """All rows, those that are computed last."""
        return tuple(dict.fromkeys(entry.row for entry in self.everything))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns: those of the first row, then what the next rows have besides."""
        place = {row: number for number, row in enumerate(self.rows)}
        return tuple(dict.fromkeys(entry.column for entry in sorted(self.everything, key=lambda each: place[each.row])))

    def at(self, row: str, column: str) -> Entry | Derived | None:
        """What stands in a row and a column; None where nothing does."""
        return next((each for each in self.everything if (each.row, each.column) == (row, column)), None)

    @classmethod
    def read(cls, folder: Path) -> Study:
        """The results in a study's ``folder``; :class:`UnskipError` if there are none that can be read."""
        return read_record(
            cls,
            folder / "study.json",
            missing="a page needs the results of a study; give the same `unskip study` again",
            contents="a study's results",
            remedy="delete it and give the same `unskip study` again",
        )


def _check_distinct(places: list[tuple[str, str]] | list[tuple[str, int]], subject: str) -> None:
    twice = [place for number, place in enumerate(places) if place in places[:number]]
    if twice:
        raise ValueError(f"{subject} must differ, got {twice[0]} twice")
