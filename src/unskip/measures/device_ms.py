"""How long a device takes."""

import math

from unskip.measures._numbers import number
from unskip.measures.base import Limit, Measure, MeasuredFile
from unskip.records import Figure


class DeviceMs(Measure):
    """Of one image on a device, at the clock of its configuration, as its compiler estimates it."""

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

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where no compiler was asked, or it does not say."""
        if file.estimate is None or file.estimate.milliseconds is None:
            return None
        return Figure(value=file.estimate.milliseconds)
