"""What a device's program needs of its DRAM."""

from unskip.measures.base import DeviceMeasure
from unskip.records import Estimate, Figure


class Dram(DeviceMeasure):
    """What a device's program keeps in the memory behind the SRAM: weights, and feature maps that do not fit."""

    title = "DRAM"
    unit = "bytes"
    kind = "memory"
    order = 37

    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """Where the device has such memory."""
        size = estimate.memory_bytes.get("dram")
        return None if size is None else Figure(value=size)
