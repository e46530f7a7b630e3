"""What lives in a network while it runs, with any of its shortcuts removed and any of its blocks left out."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from torch import nn

from unskip.dataflow.cost import Cost, Optimise, cost_of
from unskip.dataflow.devices import Device
from unskip.dataflow.memory import live_elements
from unskip.dataflow.operations import trace
from unskip.dataflow.rewriting import bypassed
from unskip.dataflow.shortcuts import bypass_of
from unskip.surgery import residual_blocks


class SubNetTrace:
    """One trace of a network that answers for all its sub-nets and partly plain forms, none of which is built.

    ``places`` are those of its shortcuts, in order. Raises `UnskipError` when torch.fx cannot trace the network or an
    image of ``(channels, height, width)`` does not fit it.
    """

    def __init__(self, net: nn.Module, input_shape: tuple[int, int, int]) -> None:
        self.places = tuple(residual_blocks(net))
        self._dataflow = trace(net, input_shape)
        self._bypass = dict(zip(self.places, bypass_of(self._dataflow, self.places).items(), strict=True))
        self._around_block = cache(self._around)

    def peak(self, removed: Collection[str] = (), left_out: Collection[str] = ()) -> int:
        """The most live elements without the shortcuts at these places and without these blocks (``stage1.block2``)."""
        return max(live_elements(self._dataflow, bypass=self._without(removed, left_out)))

    def cost(
        self,
        device: Device,
        removed: Collection[str] = (),
        left_out: Collection[str] = (),
        *,
        optimise: Optimise = "speed",
    ) -> Cost:
        """What the network costs on a device, estimated, without these shortcuts and blocks."""
        return cost_of(bypassed(self._dataflow, self._without(removed, left_out)), device, optimise=optimise)

    def _without(self, removed: Collection[str], left_out: Collection[str]) -> dict[int, int]:
        bypass = dict(self._bypass[place] for place in removed)
        return bypass | dict(self._around_block(block) for block in left_out)

    def _around(self, block: str) -> tuple[int, int]:
        """The operation that writes what a block gives, and the feature map that the block reads."""
        operations = self._dataflow.operations
        inside = {index for index, found in enumerate(operations) if f"{found.name}.".startswith(f"{block}.")}
        written = {index + 1 for index in inside}
        read = {number for index in inside for number in operations[index].inputs}
        read_outside = {
            number for index, found in enumerate(operations) if index not in inside for number in found.inputs
        }
        (source,) = read - written
        (result,) = written & (read_outside | self._dataflow.outputs)
        return result - 1, source
