"""The memory that a process takes on a GPU to run a file."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class DeviceMemory(Measure):
    """The most that the process held on the GPU, weights included."""

    title = "Device"
    unit = "bytes"
    kind = "memory"
    order = 33

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run, or not on a device with memory of its own."""
        if file.timing is None or file.device == "cpu":
            return None
        return Figure.typical(file.timing.device_peak_bytes, "this runtime does not tell")
