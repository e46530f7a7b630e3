"""How many numbers a network has learned."""

from unskip.measures.base import Limit, Measure, MeasuredNet
from unskip.records import Figure
from unskip.units import count_from


class Parameters(Measure):
    """Weights and biases of the network; BatchNorm's statistics do not count."""

    title = "Parameters"
    unit = "count"
    kind = "size"
    order = 40
    limits = (Limit("parameters", "parameters of the network, such as 5M", count_from),)

    def of_net(self, net: MeasuredNet) -> Figure | None:
        """Counted in the network, which an exported file holds with BatchNorm folded."""
        from unskip.dataflow import num_parameters

        return None if net.net is None else Figure(value=num_parameters(net.net))
