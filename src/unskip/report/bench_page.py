"""A benchmark as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from unskip.files import write_text
from unskip.report.bench_record import Bench, Group, Subject
from unskip.report.bench_tables import (
    DEFINITIONS,
    Row,
    columns,
    conclusions,
    footnotes,
    headline,
    rows,
    setting_of,
    shape_text,
)
from unskip.report.memory import DrawnTimeline, memory_plot
from unskip.report.page import fill, readable_time
from unskip.report.pareto import Point, pareto_plot
from unskip.report.record import Timeline
from unskip.report.svg import NUM_COLORS
from unskip.report.tables import Column
from unskip.units import byte_unit, duration

__all__ = ["render_bench", "write_bench_report"]


@dataclass(frozen=True)
class _Section:
    """One setting: its table, what belongs below it, its plots."""

    setting: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    footnotes: Sequence[str]
    plots: Sequence[tuple[str, Markup]]


@dataclass(frozen=True)
class _Memory:
    """Live feature maps of a net, or of the first and another one: a wide and a narrow drawing."""

    name: str
    color: int
    wide: Markup
    narrow: Markup


def write_bench_report(bench: Bench, path: Path) -> None:
    """Write the page of a benchmark. It needs nothing but itself, and appears whole or not at all."""
    write_text(path, render_bench(bench))


def render_bench(bench: Bench) -> str:
    """The whole page as HTML; the same figures give the same bytes."""
    colors = {subject.label: _color(place) for place, subject in enumerate(bench.subjects)}
    on_device = any(group.device != "cpu" for group in bench.groups)
    return fill(
        "bench.html.j2",
        title=", ".join(subject.label for subject in bench.subjects),
        shape=shape_text(bench.first.input_shape),
        unskip=bench.unskip,
        bench=bench,
        headline=headline(bench),
        conclusions=conclusions(bench),
        sections=[_section(bench, group, number, colors) for number, group in enumerate(bench.groups)],
        colors=colors,
        definitions=[text for name, text in DEFINITIONS.items() if name != "device" or on_device],
        memory=_memories(bench, colors),
        started=readable_time(bench.started),
        took=duration(bench.seconds),
    )


def _color(place: int) -> int:
    """Grey for the first, then the other colours in turn."""
    return 0 if place == 0 else 1 + (place - 1) % (NUM_COLORS - 1)


def _section(bench: Bench, group: Group, number: int, colors: dict[str, int]) -> _Section:
    return _Section(
        setting_of(group), columns(group), rows(bench, group), footnotes(group), _pareto(group, number, colors)
    )


def _pareto(group: Group, number: int, colors: dict[str, int]) -> list[tuple[str, Markup]]:
    """Accuracy against memory and against latency, where there are accuracies."""
    known = [cell for cell in group.cells if cell.accuracy is not None]
    unit = byte_unit([(cell.memory and cell.memory.forecast_bytes) or 0 for cell in known] or [0])
    memory, latency = [], []
    for cell in known:
        assert cell.accuracy is not None
        top1, color = cell.accuracy.top1, colors[cell.subject]
        if cell.memory is not None and cell.memory.forecast_bytes is not None:
            memory.append(Point(cell.subject, cell.memory.forecast_bytes / unit.size, top1, color))
        if cell.latency is not None:
            times = cell.latency
            latency.append(Point(cell.subject, times.median_ms, top1, color, (times.p10_ms, times.p90_ms)))
    drawn = {
        "Accuracy against memory": pareto_plot(memory, f"forecast peak, {unit.name}", f"memory-{number}"),
        "Accuracy against latency": pareto_plot(latency, "latency, ms", f"latency-{number}"),
    }
    return [(name, svg) for name, svg in drawn.items() if svg is not None]


def _memories(bench: Bench, colors: dict[str, int]) -> list[_Memory]:
    """Every net over the first one, or alone where there is no other; equal nets once."""
    known: list[tuple[Subject, Timeline]] = []
    for subject in bench.subjects:
        if subject.memory is not None and all(subject.memory != timeline for _, timeline in known):
            known.append((subject, subject.memory))
    if not known:
        return []
    (first, timeline), *others = known
    behind = DrawnTimeline(first.label, timeline, colors[first.label], not others)
    return [
        _drawn(number, subject, own, behind, colors[subject.label])
        for number, (subject, own) in enumerate(others or known)
    ]


def _drawn(number: int, subject: Subject, timeline: Timeline, behind: DrawnTimeline, color: int) -> _Memory:
    over = [] if subject.label == behind.name else [DrawnTimeline(subject.label, timeline, color, True)]
    wide, narrow = (memory_plot([behind, *over], f"timeline-{number}-{width}", width) for width in (1040, 480))
    return _Memory(subject.label, color, wide, narrow)
