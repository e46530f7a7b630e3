"""How many cycles a device needs."""

from unskip.measures._numbers import number
from unskip.measures.base import DeviceMeasure, Limit
from unskip.records import Estimate, Figure


class Cycles(DeviceMeasure):
    """Processor cycles of the device for one image, memory waits included, as its compiler estimates them."""

    title = "Cycles"
    unit = "count"
    kind = "time"
    order = 22
    headline = True
    limits = (
        Limit(
            "cycles_ratio",
            "the student's cycles on the target divided by the teacher's, up to 1",
            lambda text, name: number(text, name, most=1, expected="a number above 0 and up to 1"),
            relative=True,
        ),
    )

    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """Where the compiler says."""
        if estimate.cycles is None:
            return None
        return Figure(value=estimate.cycles, remark=f"estimated by {estimate.by}, not measured on a device")
