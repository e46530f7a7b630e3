"""What the runs of a study come to: its record, computed from their run.json files and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unskip.errors import UnskipError
from unskip.records import Conclusion, Counted, Derived, Entry, Run, StudyCell
from unskip.records import Study as Record
from unskip.study.cells import Cell, Cells
from unskip.study.folder import StudyFolder
from unskip.study.reading import Study
from unskip.study.readings import Reading, readings_of
from unskip.study_statistics import derive

_ROUNDING = 1e-6  # of per cent


def results_of(study: Study, cells: Cells, folder: Path) -> Record:
    """The record of a study as far as its cells are done; those that are not are said, and nothing stands for them.

    Raises `UnskipError` where a run lacks a net that is read from it, and where two runs disagree about one entry.
    """
    home = StudyFolder(folder)
    runs = {cell.folder: Run.read(folder / cell.folder) for cell in cells.cells.values() if home.state(cell) == "done"}
    readings = readings_of(study, cells)
    entries = [_entry(reading, cells, runs, curves=study.form.curves) for reading in readings.entries]
    derived: list[Derived] = []
    for name, row in study.form.derived.items():
        printed = readings.printed[name]
        derived += derive(name, [*entries, *derived], of=row.of, best=row.best, minus=row.minus, printed=printed)
    return Record(
        name=study.name,
        title=study.form.title,
        source=study.form.source or "",
        quick=study.quick,
        reduced=study.reduced,
        unskip=version("unskip"),
        seeds=cells.seeds,
        cells=tuple(_cell(cell, home, runs.get(cell.folder)) for cell in cells.cells.values()),
        entries=tuple(entries),
        derived=tuple(derived),
        counted=tuple(
            Counted(name=name, row=counted.row, below=counted.below, above=counted.above)
            for name, counted in study.form.counted.items()
        ),
        conclusions=tuple(Conclusion(**conclusion.model_dump()) for conclusion in study.form.conclusions),
        seconds=sum(run.seconds for run in runs.values()),
    )


def _cell(cell: Cell, home: StudyFolder, run: Run | None) -> StudyCell:
    state: Any = "done" if run else "failed" if home.why(cell) else "missing"
    words = {"begun": "it was interrupted", "running": "it is running", "missing": "it has not been run"}
    why = "" if run else home.why(cell) or words.get(home.state(cell), "")
    return StudyCell(
        label=cell.label,
        labels=dict(cell.labels),
        seed=cell.seed,
        run=cell.folder,
        state=state,
        why=why,
        seconds=run.seconds if run else None,
    )


def _entry(reading: Reading, cells: Cells, runs: Mapping[str, Run], *, curves: bool) -> Entry:
    fields: dict[str, dict[int, Any]] = {"measured": {}, "runs": {}, "curve": {}, "minutes": {}}
    at_chance = []
    for seed, sources in reading.sources.items():
        trained = [(folder, label) for folder, label in sources if folder in runs]
        if not trained:
            continue
        _check_agreement(reading, trained, runs)
        # Where several runs have the net, the one that trained it has its time.
        folder, label = min(trained, key=lambda source: _net(runs, *source).reused)
        net, run = _net(runs, folder, label), runs[folder]
        minutes = None if net.seconds is None else net.seconds / 60
        value = minutes if reading.value == "minutes" else _score(reading, run, folder, label)
        if value is None:
            continue  # a teacher that was given has no time
        fields["measured"][seed] = value
        fields["runs"][seed] = folder
        if run.is_at_chance(net):
            at_chance.append(seed)
        if minutes is not None:
            fields["minutes"][seed] = minutes
        if curves and run.validated(net) == net:
            points = [(each.epoch, 100 * each.score) for each in run.epochs_of(net) if each.score is not None]
            fields["curve"][seed] = tuple(points)
    return Entry(
        row=reading.row,
        column=reading.column,
        value=reading.value,
        printed=reading.printed,
        at_chance=tuple(at_chance),
        **fields,
    )


def _net(runs: Mapping[str, Run], folder: str, label: str) -> Any:
    trained = next((net for net in runs[folder].nets if net.label == label), None)
    if trained is None:
        known = ", ".join(net.label for net in runs[folder].nets)
        raise UnskipError(f"{folder} has no net {label!r}, which the study reads; it has {known}")
    return trained


def _score(reading: Reading, run: Run, folder: str, label: str) -> float:
    """Top-1 accuracy, or error, in per cent."""
    top1 = run.figure(_net({folder: run}, folder, label), "top1").value
    if top1 is None:
        raise UnskipError(f"{folder} has no top-1 accuracy of {label}, which the study reads")
    return 100 * (1 - top1) if reading.value == "error" else 100 * top1


def _check_agreement(reading: Reading, trained: list[tuple[str, str]], runs: Mapping[str, Run]) -> None:
    """Raise `UnskipError` where runs of one training do not give one figure."""
    if reading.value == "minutes":
        return
    scores = {folder: _score(reading, runs[folder], folder, label) for folder, label in trained}
    first, last = min(scores, key=lambda folder: scores[folder]), max(scores, key=lambda folder: scores[folder])
    if scores[last] - scores[first] > _ROUNDING:
        raise UnskipError(
            f"{reading.row!r}, {reading.column!r} is {scores[first]:.2f} in {first} and {scores[last]:.2f} in {last}, "
            "which trained the same net; delete the one that is wrong, and the same command makes it again"
        )
