"""What a device's program needs of its flash."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class Flash(Measure):
    """What a device's program keeps in flash: weights and commands."""

    title = "Flash"
    unit = "bytes"
    kind = "memory"
    order = 34

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where no compiler was asked, or the device has no such memory."""
        size = None if file.estimate is None else file.estimate.memory_bytes.get("flash")
        return None if size is None else Figure(value=size)
