"""Figures as a table, for the terminal and the page: one builder, whatever the figures were measured by.

Rows are nets or files, columns the measures that one of them has: what a measure says of itself heads its column, says
in which scale its figures are written and how they compare with the first row's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from unskip.records import About, Figure, Speedup
from unskip.units import signed_points, times, writer

DASH = "\N{EN DASH}"
SAME, NEARLY = "the same", "nearly the same"
NO_DIFFERENCE = "no difference shown"

TIMED = "latency"  # the measure whose figures have a speed-up beside them
SPEEDUP = About(
    title="Times as fast",
    unit="as the first",
    better="higher",
    kind="time",
    definition="Times as fast: the median of the ratios within the rounds, and their 10th to 90th percentile; where 1 "
    "lies between the two, no difference is shown",
)


@dataclass(frozen=True)
class RowContent:
    """What a row is made of: a net or a file, its figures by measure, or why it has none.

    ``color`` is its net's, None for a row that is none.
    """

    label: str
    about: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    speedup: Speedup | None = None
    refused: str | None = None
    color: int | None = 0
    mark: str = ""


Entry = tuple[str, ...]  # a number as it is written, and the lines below it in small


@dataclass(frozen=True)
class Row:
    """A row of a table with an entry for each column; without entries where it was refused."""

    content: RowContent
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Table:
    """Columns are headed by what their measures say, in the unit that the entries are written in.

    ``name`` heads the labels; ``footnotes`` say what dashes mean and on how many images a column stands.
    """

    name: str
    columns: tuple[About, ...]
    rows: tuple[Row, ...]
    footnotes: tuple[str, ...]


def build(name: str, measures: Mapping[str, About], lines: Sequence[RowContent]) -> Table:
    """A table with a column for every measure that a line has a figure of, in the order of ``measures``.

    The figures of later lines are compared with those of the first; speed-ups stand beside latencies.
    """
    columns: list[tuple[About, list[Entry]]] = []
    for measure, about in measures.items():
        figures = [line.figures.get(measure) for line in lines]
        if not any(figures):
            continue
        unit, write = writer(about.unit, [each.value for each in figures if each and each.value is not None])
        entries = [_entry(each or Figure(), figures[0] or Figure(), about, write) for each in figures]
        columns.append((about.model_copy(update={"unit": unit}), entries))
        if measure == TIMED and any(line.speedup for line in lines):
            columns.append((SPEEDUP, [_speedup(line.speedup) for line in lines]))
    across = zip(*(entries for _, entries in columns), strict=True) if columns else ((),) * len(lines)
    rows = tuple(Row(line, () if line.refused else entries) for line, entries in zip(lines, across, strict=True))
    remarks = _footnotes(measures, [line for line in lines if not line.refused])
    return Table(name, tuple(about for about, _ in columns), rows, tuple(remarks))


def definitions(*tables: Table) -> list[str]:
    """What must be known to read these tables, once for each column."""
    return list(dict.fromkeys(column.definition for table in tables for column in table.columns))


def compared(figure: Figure, first: Figure, about: About) -> str:
    """``1.50× less`` than the first, or how many points more; nothing where that cannot be said of such figures."""
    if figure.value is None or first.value is None or first.samples or first.low is not None:
        return ""
    if about.unit == "share":
        return signed_points(figure.value - first.value, decimals=2)
    if about.unit not in ("bytes", "count", "ms") or not figure.value or not first.value:
        return ""
    if figure.value == first.value:
        return SAME
    ratio = times(max(first.value, figure.value) / min(first.value, figure.value))
    return NEARLY if ratio == times(1) else f"{ratio} {'less' if first.value > figure.value else 'more'}"


def in_sentence(title: str) -> str:
    """A measure's title as it is written within a sentence."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def speedup_text(speedup: Speedup) -> str:
    """``1.08× as fast``; where the spread of the ratio holds 1, the words that say so."""
    return f"{times(speedup.median)} as fast" if speedup.shows_difference else NO_DIFFERENCE


def _entry(figure: Figure, first: Figure, about: About, write: Callable[[float], str]) -> Entry:
    if figure.value is None:
        return (DASH,)
    entry = [write(figure.value)]
    if figure.low is not None and figure.high is not None:
        entry.append(f"{write(figure.low)} to {write(figure.high)}")
    if figure.value != first.value:
        entry.append(compared(figure, first, about).replace(NEARLY, ""))
    if figure.allowed is not None and figure.value != figure.allowed:
        entry += ["beyond what is allowed"] * ((figure.value > figure.allowed) == (about.better == "lower"))
    return tuple(filter(None, entry))


def _speedup(speedup: Speedup | None) -> Entry:
    """A ratio whose spread holds 1 is never without the words that say so."""
    if speedup is None:
        return (DASH,)
    entry = (times(speedup.median), f"{speedup.low:.2f} to {speedup.high:.2f}")
    return entry if speedup.shows_difference else (*entry, NO_DIFFERENCE)


def _footnotes(measures: Mapping[str, About], lines: Sequence[RowContent]) -> Iterator[str]:
    """What figures say of themselves, once for all the columns and all the rows that it is true of."""
    titles: dict[tuple[str, tuple[str, ...]], list[str]] = {}  # what is said, and of whom: the columns
    for measure, about in measures.items():
        labels: dict[str, list[str]] = {}
        for line in lines:
            for remark in _remarks(line.figures.get(measure, Figure()), about):
                labels.setdefault(remark, []).append(line.label)
        for remark, whose in labels.items():
            titles.setdefault((remark, tuple(whose)), []).append(about.title)
    for (remark, of), columns in titles.items():
        subjects = "" if len(of) == len(lines) else f" of {', '.join(of)}"
        yield f"{', '.join(columns)}{subjects}: {remark}."


def _remarks(figure: Figure, about: About) -> Iterator[str]:
    if figure.unknown:
        yield figure.unknown
    if figure.images is not None:
        yield f"on {figure.images:,} image{'s' * (figure.images != 1)}"
    if figure.allowed is not None:
        most = "most" if about.better == "lower" else "least"
        unit, write = writer(about.unit, [figure.allowed])
        yield f"at {most} {write(figure.allowed)}{f' {unit}' * (about.unit == 'bytes')} is allowed"
    if figure.remark:
        yield figure.remark
