"""How long a file takes for a batch."""

import math
from functools import partial

from unskip.measures._numbers import number
from unskip.measures.base import Limit, Measure, MeasuredFile
from unskip.records import Figure

_share = partial(number, most=1, expected="a number above 0 and up to 1, the student's time divided by the teacher's")
_milliseconds = partial(number, most=math.inf, expected="milliseconds above 0, such as 10")


class Latency(Measure):
    """Time of one call with a whole batch: the median of the rounds and the 10th to 90th percentile.

    Files take turns within a round, and ratios are taken within the rounds.
    """

    title = "Latency"
    unit = "ms"
    kind = "time"
    order = 20
    limits = (
        Limit("latency_ratio", "the student's time divided by the teacher's, up to 1", _share, relative=True),
        Limit("latency_ms", "milliseconds for one image", _milliseconds),
    )

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where the file was not run."""
        return None if file.timing is None else Figure.of_samples(file.timing.milliseconds)
