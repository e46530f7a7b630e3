"""The memory that a process takes to run a file."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class Resident(Measure):
    """How much the process's memory grew from before it loaded the file to its peak.

    This includes weights and the runtime's own buffers.
    """

    title = "Resident"
    unit = "bytes"
    kind = "memory"
    order = 32

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run."""
        rises = None if file.timing is None else file.timing.resident_rise_bytes
        return None if rises is None else Figure.typical(rises, "this system does not tell")
