"""What a device's program needs of its SRAM."""

from unskip.measures.base import Limit, Measure, MeasuredFile
from unskip.records import Figure
from unskip.units import bytes_from


class Sram(Measure):
    """The on-chip memory that a device's program needs, as its compiler allocates it."""

    title = "SRAM"
    unit = "bytes"
    kind = "memory"
    order = 32
    limits = (Limit("sram", "SRAM that `target` has for the program, such as 256KiB", bytes_from),)

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where no compiler was asked, or the device has no such memory."""
        size = None if file.estimate is None else file.estimate.memory_bytes.get("sram")
        return None if size is None else Figure(value=size)
