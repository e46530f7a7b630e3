"""What a network costs on a device, estimated without its compiler: good enough to put candidates in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from unskip.dataflow.devices import Device, device_named
from unskip.dataflow.operations import Dataflow, trace
from unskip.dataflow.stripes import striped


@dataclass(frozen=True)
class Cost:
    """Cycles for one image, SRAM in bytes, and bytes of feature maps to and from the memory behind the SRAM.

    ``key`` puts networks in order, the cheapest first: by the cycles where feature maps go to a memory behind, by
    the SRAM where they do not.
    """

    cycles: int
    sram_bytes: int
    traffic_bytes: int
    ordered_by: Literal["cycles", "sram_bytes"]

    @property
    def key(self) -> int:
        """The figure that networks are ordered by."""
        return self.cycles if self.ordered_by == "cycles" else self.sram_bytes


def estimated_cost(net: nn.Module, input_shape: tuple[int, int, int], device: Device | str) -> Cost:
    """What a network in 8 bits costs on a device, for one image of ``(channels, height, width)``.

    ``device`` is one, or the name of one (see `device_named`). Raises `UnskipError` when the network cannot be traced
    or there is no such device.
    """
    return cost_of(trace(net, input_shape), device_named(device) if isinstance(device, str) else device)


def cost_of(dataflow: Dataflow, device: Device) -> Cost:
    """What a dataflow costs on a device; see `estimated_cost`."""
    cascades = striped(dataflow)
    maps = cascades.dataflow.elements
    traffic = 0
    if device.spills:
        ends = [cascade.last + 1 for cascade in cascades.cascades[:-1]]
        traffic = sum(2 * maps[number] for number in ends)
    cycles = sum(each.macs for each in cascades.dataflow.operations) // device.macs_per_cycle
    cycles = max(cycles, int(traffic / device.bandwidth_behind))
    return Cost(cycles, cascades.peak_elements, traffic, "cycles" if device.spills else "sram_bytes")
