"""The memory that a process takes on a GPU to run a file."""

from __future__ import annotations

from typing import ClassVar, Literal

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure

__all__ = ["DeviceMemory"]


class DeviceMemory(Measure):
    """The most that a process held, the median over its processes."""

    title: ClassVar[str] = "Device"
    unit: ClassVar[str] = "bytes"
    kind: ClassVar[Literal["memory"]] = "memory"
    order: ClassVar[int] = 33
    definition: ClassVar[str] = "Device: the most that the process held on the GPU, weights included"

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run, or not on a device with memory of its own."""
        if file.timing is None or file.device == "cpu":
            return None
        return Figure.typical(file.timing.device_peak_bytes, "this runtime does not tell")
