"""How long a device takes."""

import math

from unskip.measures._numbers import number
from unskip.measures.base import DeviceMeasure, Limit
from unskip.records import Estimate, Figure


class DeviceMs(DeviceMeasure):
    """Time of one image on a device at its configured clock, as its compiler estimates it."""

    title = "Time on the device"
    unit = "ms"
    kind = "time"
    order = 23
    limits = (
        Limit(
            "device_ms",
            "milliseconds for one image on `target`",
            lambda text, name: number(text, name, most=math.inf, expected="milliseconds above 0, such as 10"),
        ),
    )

    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """Where the compiler says."""
        return None if estimate.milliseconds is None else Figure(value=estimate.milliseconds)
