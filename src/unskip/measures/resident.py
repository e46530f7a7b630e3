"""The memory that a process takes to run a file."""

from __future__ import annotations

from typing import ClassVar, Literal

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure

__all__ = ["Resident"]


class Resident(Measure):
    """By how much a process grew, the median over its processes."""

    title: ClassVar[str] = "Resident"
    unit: ClassVar[str] = "bytes"
    kind: ClassVar[Literal["memory"]] = "memory"
    order: ClassVar[int] = 32
    definition: ClassVar[str] = (
        "Resident: by how much the process grew from before it loaded the file to its highest, which holds weights and "
        "the runtime's own buffers too"
    )

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run."""
        return (
            None
            if file.timing is None
            else Figure.typical(file.timing.resident_rise_bytes, "this system does not tell")
        )
