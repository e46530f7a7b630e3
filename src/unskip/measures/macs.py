"""What a network computes for one image."""

from unskip.measures.base import Limit, Measure, MeasuredNet
from unskip.records import Figure
from unskip.units import count_from


class Macs(Measure):
    """Multiply-accumulates of convolutions and linear layers for one image."""

    title = "MACs"
    unit = "count"
    kind = "size"
    order = 41
    limits = (Limit("macs", "MACs for one image, such as 800M", count_from),)

    def of_net(self, net: MeasuredNet) -> Figure | None:
        """Counted without running the network."""
        from unskip.dataflow import count_macs

        return None if net.net is None else Figure(value=count_macs(net.net, net.input_shape))
