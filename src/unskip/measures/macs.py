"""What a network computes for one image."""

from __future__ import annotations

from typing import ClassVar, Literal

from unskip.measures.base import Limit, Measure, MeasuredNet
from unskip.records import Figure
from unskip.units import count_from

__all__ = ["Macs"]


class Macs(Measure):
    """Multiply-accumulates of convolutions and linear layers."""

    title: ClassVar[str] = "MACs"
    unit: ClassVar[str] = "count"
    kind: ClassVar[Literal["size"]] = "size"
    order: ClassVar[int] = 41
    definition: ClassVar[str] = "MACs: multiply-accumulates of convolutions and linear layers for one image"
    limits: ClassVar[tuple[Limit, ...]] = (Limit("macs", "MACs for one image, such as 800M", count_from),)

    def of_net(self, net: MeasuredNet) -> Figure | None:
        """Counted without running the network."""
        from unskip.dataflow import count_macs

        return None if net.net is None else Figure(value=count_macs(net.net, net.input_shape))
