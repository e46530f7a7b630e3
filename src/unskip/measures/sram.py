"""What a device's program needs of its SRAM."""

from unskip.measures.base import DeviceMeasure, Limit
from unskip.records import Estimate, Figure
from unskip.units import bytes_from


class Sram(DeviceMeasure):
    """The on-chip memory that a device's program needs, as its compiler allocates it."""

    title = "SRAM"
    unit = "bytes"
    kind = "memory"
    order = 36
    headline = True
    limits = (Limit("sram", "SRAM that `target` has for the program, such as 256KiB", bytes_from),)

    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """Where the device has such memory."""
        size = estimate.memory_bytes.get("sram")
        return None if size is None else Figure(value=size, allowed=estimate.sram_limit_bytes)
