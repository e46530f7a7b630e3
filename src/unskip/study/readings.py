"""What is read from the runs of a study: which net of which run gives which entry of the table, and what is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unskip.errors import UnskipError
from unskip.recipe import Recipe, digest
from unskip.records import Entry
from unskip.records.study import Value
from unskip.study.cells import Cell, Cells, check_net, decisive
from unskip.study.form import filled
from unskip.study.printed import METRICS, printed_value
from unskip.study.reading import Study
from unskip.study_statistics import derive


@dataclass(frozen=True)
class Reading:
    """What is read from runs into one entry of the table: for each seed, from the net of which runs.

    ``sources`` has the folder of a run and the label of its net, of any of which the figure may come. ``printed`` is in
    per cent or in minutes, None where the paper prints none.
    """

    row: str
    column: str
    value: Value
    printed: float | None
    sources: dict[int, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Readings:
    """All entries of a study's table, and what is printed of each derived row, by column."""

    entries: tuple[Reading, ...]
    printed: Mapping[str, Mapping[str, float]]


def readings_of(study: Study, cells: Cells) -> Readings:
    """What a study reads from its cells.

    Raises `UnskipError`, which names the place, for a net that no method makes, for printed figures that are not found,
    or are several, and for an entry that would mix different trainings. In a quick form no figure has to be printed.
    """
    entries: dict[tuple[str, str], Reading] = {}
    for grid, labels, folder in cells.places:
        cell = cells.cells[folder]
        for row in grid.rows:
            origin = f"{study.name}, {cell.label}, row {row.row!r}"
            net, value, place = filled(row.net, labels), row.value or study.form.value, study.form.place(row, labels)
            check_net(net, cell.recipe, origin)
            if place not in entries:
                printed = None
                if row.printed is not None:
                    printed = _printed(study, {"metric": METRICS[value]}, row.printed, labels, origin)
                entries[place] = Reading(*place, value, printed)
            if entries[place].value != value:
                raise UnskipError(f"{origin}: {place} is to hold {entries[place].value} and {value}; name two columns")
            sources = entries[place].sources.setdefault(cell.seed, [])
            if (folder, net) not in sources:
                sources.append((folder, net))
    _check_agreement(entries.values(), cells.cells)
    return Readings(tuple(entries.values()), _printed_of_derived(study, entries.values()))


def _printed_of_derived(study: Study, entries: Iterable[Reading]) -> dict[str, dict[str, float]]:
    """What is printed of the derived rows, in the columns that they will have."""
    empty: list[Any] = [Entry(row=each.row, column=each.column, value=each.value) for each in entries]
    printed: dict[str, dict[str, float]] = {}
    for name, row in study.form.derived.items():
        derived = derive(name, empty, of=row.of, best=row.best, minus=row.minus)
        empty += derived
        printed[name] = {}
        for column in (each.column for each in derived if row.printed is not None):
            origin = f"{study.name}, derived.{name}, column {column!r}"
            value = _printed(study, {}, row.printed or {}, {"column": column}, origin)
            if value is not None:
                printed[name][column] = value
    return printed


def _printed(
    study: Study, metric: Mapping[str, str], own: Mapping[str, str | None], labels: Mapping[str, str], origin: str
) -> float | None:
    """The printed figure; in a quick form None where the paper has no such one."""
    keys = {**metric, **study.form.printed, **{key: text and filled(text, labels) for key, text in own.items()}}
    try:
        return printed_value(keys, origin)
    except UnskipError:
        if study.quick:
            return None
        raise


def _check_agreement(readings: Iterable[Reading], cells: Mapping[str, Cell]) -> None:
    """Raise `UnskipError` where cells that would give one entry train its net in different ways."""
    for reading in readings:
        for sources in reading.sources.values():
            different = {digest(made_of(cells[folder].recipe, net)): cells[folder] for folder, net in sources}
            if len(different) > 1:
                first, second = list(different.values())[:2]
                raise UnskipError(
                    f"the entry {reading.row!r}, {reading.column!r} would come from different trainings: "
                    f"{first.label}; {second.label}. Let the row or the column name what tells them apart"
                )


def made_of(recipe: Recipe, net: str) -> dict[str, Any]:
    """What decides a net of a run."""
    whole = decisive(recipe)
    del whole["measure"]
    methods = whole.pop("methods")
    if net == "teacher":
        whole["training"] = recipe.training_of("teacher").model_dump(mode="json")
        whole["teacher"].pop("training")
        del whole["student"]
        return whole
    label = net if net in methods else next(label for label in methods if net.startswith(f"{label}-"))
    return whole | {"method": methods[label], "net": net}
