"""How many images a file answers in a second."""

from statistics import median

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class Throughput(Measure):
    """Images a second at the median latency."""

    title = "Throughput"
    unit = "images/s"
    better = "higher"
    kind = "time"
    order = 21

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run."""
        return None if file.timing is None else Figure(value=1e3 * file.batch_size / median(file.timing.milliseconds))
