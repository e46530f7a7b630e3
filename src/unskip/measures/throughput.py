"""How many images a file answers in a second."""

from __future__ import annotations

from statistics import median
from typing import ClassVar, Literal

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure

__all__ = ["Throughput"]


class Throughput(Measure):
    """Images a second at the median latency."""

    title: ClassVar[str] = "Throughput"
    unit: ClassVar[str] = "images/s"
    better: ClassVar[Literal["higher"]] = "higher"
    kind: ClassVar[Literal["time"]] = "time"
    order: ClassVar[int] = 21
    definition: ClassVar[str] = "Throughput: images a second at the median latency"

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run."""
        return None if file.timing is None else Figure(value=1e3 * file.batch_size / median(file.timing.milliseconds))
