"""What a device's program needs of its flash."""

from unskip.measures.base import DeviceMeasure
from unskip.records import Estimate, Figure


class Flash(DeviceMeasure):
    """What a device's program keeps in flash: weights and commands."""

    title = "Flash"
    unit = "bytes"
    kind = "memory"
    order = 38

    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """Where the device has such memory."""
        size = estimate.memory_bytes.get("flash")
        return None if size is None else Figure(value=size)
