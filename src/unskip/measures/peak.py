"""The most memory that feature maps need at once, forecast from the network."""

from unskip.measures.base import Limit, Measure, MeasuredFile, MeasuredNet
from unskip.records import Figure
from unskip.units import bytes_from


class Peak(Measure):
    """Live feature maps of the whole batch at their peak, computed from the network."""

    title = "Peak memory"
    unit = "bytes"
    kind = "memory"
    order = 30
    limits = (Limit("memory", "live feature maps of one image at their peak, such as 4MiB", bytes_from),)

    def of_net(self, net: MeasuredNet) -> Figure | None:
        """For one image."""
        return self._figure(net, 1)

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """For a batch, in which every image needs as much; None where a compiler says what a device needs."""
        if file.estimate is not None:
            return None
        return self._figure(file.net, file.batch_size)

    def _figure(self, net: MeasuredNet, images: int) -> Figure:
        timeline = net.timeline
        return Figure(unknown=timeline) if isinstance(timeline, str) else Figure(value=images * timeline.peak_bytes)
