"""Feature maps that leave a device's SRAM and come back."""

from unskip.measures.base import DeviceMeasure
from unskip.records import Estimate, Figure


class DramTraffic(DeviceMeasure):
    """Feature maps that one image writes to the DRAM and reads from it, as the device's compiler estimates them."""

    title = "Maps to and from DRAM"
    unit = "bytes"
    kind = "memory"
    order = 39
    headline = True

    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """Where the device has a DRAM."""
        traffic = estimate.traffic.get("dram")
        return None if traffic is None else Figure(value=traffic.feature_maps)
