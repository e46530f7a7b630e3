"""The report's tables as text: one unit for each column, a dash where nothing was measured."""

from __future__ import annotations

from dataclasses import dataclass

from unskip.report.plots import color_index
from unskip.report.record import Net, Run, Spread
from unskip.units import (
    SPACE,
    Unit,
    byte_unit,
    count_unit,
    duration,
    milliseconds,
    percent,
    signed_points,
    small,
)

__all__ = ["Column", "FileRow", "KeyFigure", "NetRow", "file_rows", "key_figures", "net_columns", "net_rows"]

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Column:
    """A heading and the unit below it."""

    name: str
    unit: str = ""


@dataclass(frozen=True)
class NetRow:
    """One net: ``cells`` are pairs of a number and what is said below it in small."""

    net: Net
    color: int
    best: bool
    about: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FileRow:
    """One exported file and how it compares with its net."""

    net: Net
    color: int
    size: str
    difference: str
    tolerance: str
    within: bool
    agreement: str


@dataclass(frozen=True)
class KeyFigure:
    """The best student's number beside the teacher's."""

    name: str
    student: str
    teacher: str


@dataclass(frozen=True)
class _Units:
    parameters: Unit
    macs: Unit
    peak: Unit
    file: Unit


def _units(run: Run) -> _Units:
    return _Units(
        parameters=count_unit(net.parameters for net in run.nets),
        macs=count_unit(net.macs for net in run.nets),
        peak=byte_unit(net.peak_bytes for net in run.nets),
        file=byte_unit(net.file_bytes or 0 for net in run.nets),
    )


def _has_top5(run: Run) -> bool:
    return any(net.top5 is not None for net in run.nets)


def net_columns(run: Run) -> list[Column]:
    """The headings of :func:`net_rows`; what no net has is left out."""
    units = _units(run)
    return [
        Column("Top-1", "%"),
        Column("Difference", "points"),
        *([Column("Top-5", "%")] if _has_top5(run) else []),
        Column("Training", "time"),
        Column("Parameters", units.parameters.name),
        Column("MACs", units.macs.name),
        Column("Peak memory", units.peak.name),
        *([Column("Latency", "ms")] if run.latency else []),
        Column("File", units.file.name),
        Column("Parity", "relative"),
    ]


def net_rows(run: Run) -> list[NetRow]:
    """One row for each net, in the order of the run."""
    return [
        NetRow(
            net=net,
            color=color_index(run, net.label),
            best=net.label == run.best,
            about=_about(net),
            cells=tuple(_cells(run, net, _units(run))),
        )
        for net in run.nets
    ]


def _about(net: Net) -> str:
    shortcuts = "1 shortcut" if net.shortcuts == 1 else f"{net.shortcuts or 'no'} shortcuts"
    depth = "" if net.depth is None else f"{'-'.join(map(str, net.depth))} blocks, "
    unknown = f" known, those of {net.unopened} modules unknown" if net.unopened else ""
    return f"{net.net}, {depth}{shortcuts}{unknown}"


def _training(run: Run, net: Net) -> tuple[str, str]:
    if net.reused:
        return DASH, "not in this run"
    if run.validated(net) != net:
        return DASH, f"with {run.validated(net).label}"
    epochs = "1 epoch" if net.epochs == 1 else f"{net.epochs} epochs"
    return DASH if net.training_seconds is None else duration(net.training_seconds), epochs


def _cells(run: Run, net: Net, units: _Units) -> list[tuple[str, str]]:
    teacher = run.teacher
    cells = [
        (f"{100 * net.top1:.2f}", "at chance" if run.is_at_chance(net) else ""),
        (DASH if net == teacher else signed_points(net.top1 - teacher.top1, decimals=2), ""),
    ]
    if _has_top5(run):
        cells.append((DASH if net.top5 is None else f"{100 * net.top5:.2f}", ""))
    cells += [
        _training(run, net),
        (units.parameters.number(net.parameters), ""),
        (units.macs.number(net.macs), ""),
        (units.peak.number(net.peak_bytes), ""),
    ]
    if run.latency:
        spread = net.latency
        cells.append(_latency(spread) if spread else (DASH, ""))
    cells += [
        (DASH if net.file_bytes is None else units.file.number(net.file_bytes), ""),
        (DASH if net.parity is None else small(net.parity.max_difference), ""),
    ]
    return cells


def _latency(spread: Spread) -> tuple[str, str]:
    return milliseconds(spread.median_ms), f"{milliseconds(spread.low_ms)} to {milliseconds(spread.high_ms)}"


def file_rows(run: Run) -> list[FileRow]:
    """One row for each file that was exported and compared."""
    unit = _units(run).file
    return [
        FileRow(
            net=net,
            color=color_index(run, net.label),
            size=unit(net.file_bytes or 0),
            difference=small(net.parity.max_difference),
            tolerance=small(net.parity.tolerance),
            within=net.parity.max_difference <= net.parity.tolerance,
            agreement=f"{percent(net.parity.agreement)} of {net.parity.images:,} images"
            + (", all answered alike: it says nothing" if net.parity.constant else ""),
        )
        for net in run.nets
        if net.parity is not None
    ]


def key_figures(run: Run) -> list[KeyFigure]:
    """The numbers that decide, at a glance."""
    teacher, best, units = run.teacher, run.best_student, _units(run)
    figures = [
        KeyFigure("Top-1 accuracy", percent(best.top1), percent(teacher.top1)),
        KeyFigure("Peak feature maps", units.peak(best.peak_bytes), units.peak(teacher.peak_bytes)),
    ]
    if run.latency and best.latency and teacher.latency:
        figures.append(
            KeyFigure("Latency", *(f"{milliseconds(s.median_ms)}{SPACE}ms" for s in (best.latency, teacher.latency)))
        )
    figures.append(KeyFigure("Parameters", f"{best.parameters:,}", f"{teacher.parameters:,}"))
    return figures
