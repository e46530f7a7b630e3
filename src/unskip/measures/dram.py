"""What a device's program needs of its DRAM."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class Dram(Measure):
    """What a device's program keeps in the memory behind the SRAM: weights, and feature maps that do not fit."""

    title = "DRAM"
    unit = "bytes"
    kind = "memory"
    order = 33

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where no compiler was asked, or the device has no such memory."""
        size = None if file.estimate is None else file.estimate.memory_bytes.get("dram")
        return None if size is None else Figure(value=size)
