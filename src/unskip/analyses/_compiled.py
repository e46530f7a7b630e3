"""Compiled students as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.measures import DeviceMeasure, measures
from unskip.records import About, Figure
from unskip.report.table import Line, build
from unskip.report.terminal import table_parts

if TYPE_CHECKING:
    from unskip.search import CompiledStudent

_SHORTCUTS = About(title="Shortcuts", unit="count", better="lower", kind="size", definition="Shortcuts that are left")


def compiled_table(
    title: str, students: Sequence[CompiledStudent], console: Console, sram_bytes: int | None = None
) -> Iterator[RenderableType]:
    """A row for every student, by its number, compared with the first; with ``sram_bytes``, marks say which fit."""
    shown = {
        name: measure.about
        for name, measure in measures().items()
        if isinstance(measure, DeviceMeasure) and measure.headline
    }
    lines = [
        Line(
            _label(number, student, sram_bytes),
            figures={**student.figures, "shortcuts": Figure(value=student.student.shortcuts)},
            refused=student.refused or None,
        )
        for number, student in enumerate(students)
    ]
    yield Text(title, style="bold")
    yield from table_parts(build(title, {**shown, "shortcuts": _SHORTCUTS}, lines), console)


def _label(number: int, student: CompiledStudent, sram_bytes: int | None) -> str:
    needed = student.figures.get("sram", Figure()).value
    if sram_bytes is None or needed is None:
        return str(number)
    return f"{number} fits" if needed <= sram_bytes else f"{number} too large"
