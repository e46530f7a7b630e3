"""Compiled students as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from unskip.measures import DeviceMeasure, measures
from unskip.records import Figure

if TYPE_CHECKING:
    from unskip.search import CompiledStudent


def compiled_table(
    students: Sequence[CompiledStudent], labels: Sequence[str], console: Console, sram_bytes: int | None = None
) -> Iterator[RenderableType]:
    """A row for every student, compared with the first; where ``sram_bytes`` are there, it says which do not fit.

    That figures are estimates is left to who shows the table.
    """
    from unskip.report.table import RowContent, build
    from unskip.report.terminal import table_parts

    shown = {
        name: measure.about
        for name, measure in measures().items()
        if isinstance(measure, DeviceMeasure) and measure.headline
    }
    lines = [
        RowContent(
            f"{label}{_too_large(each, sram_bytes)}", figures=_without_remarks(each), refused=each.refused or None
        )
        for label, each in zip(labels, students, strict=True)
    ]
    return table_parts(build("", shown, lines), console)


def _without_remarks(student: CompiledStudent) -> dict[str, Figure]:
    return {name: figure.model_copy(update={"remark": None}) for name, figure in student.figures.items()}


def _too_large(student: CompiledStudent, sram_bytes: int | None) -> str:
    needed = student.figures.get("sram", Figure()).value
    return "" if sram_bytes is None or needed is None or needed <= sram_bytes else ": too large"
