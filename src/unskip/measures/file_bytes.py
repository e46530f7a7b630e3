"""How large a deployed file is."""

from unskip.measures.base import Limit, Measure, MeasuredFile
from unskip.records import Figure
from unskip.units import bytes_from


class FileBytes(Measure):
    """The size of the deployed file with all parts that go where it runs, weights included."""

    title = "File"
    unit = "bytes"
    kind = "file"
    order = 50
    limits = (Limit("file_size", "the exported file, such as 20MB", bytes_from),)

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """Counted on the disk."""
        return Figure(value=file.num_bytes)
