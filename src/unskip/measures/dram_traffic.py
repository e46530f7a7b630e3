"""Feature maps that leave a device's SRAM and come back."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class DramTraffic(Measure):
    """Feature maps that one image writes to the DRAM and reads from it, as the device's compiler estimates them."""

    title = "Maps to and from DRAM"
    unit = "bytes"
    kind = "memory"
    order = 35

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where no compiler was asked, or the device has no DRAM."""
        traffic = None if file.estimate is None else file.estimate.traffic.get("dram")
        return None if traffic is None else Figure(value=traffic.feature_maps)
