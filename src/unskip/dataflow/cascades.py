"""Which layers a compiler for a device with little SRAM runs in stripes, and how many rows a stripe has.

The rules are those of Vela 5.1.0, simplified. A cascade goes on to the next layer where that alone reads what is
written, as long as the maps of a layer do not fit into the SRAM whole and the rows between the layers do. Stripes begin
as thin as they can be and grow while they fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unskip.dataflow.blocks import block_of, weight_reads
from unskip.dataflow.devices import Device
from unskip.dataflow.layers import Layers


@dataclass(frozen=True)
class Run:
    """The layers ``first`` to ``last``, which run together in stripes, or one alone.

    ``rows`` are those of a stripe of each layer's output, ``kept_bytes`` are of the rows that lie between the layers,
    ``buffered`` the bytes of each layer's weights that may lie in the SRAM beside them.
    """

    first: int
    last: int
    rows: tuple[int, ...]
    kept_bytes: int = 0
    buffered: tuple[int, ...] = ()


class Cascades:
    """The runs of some layers on a device whose feature maps lie behind its SRAM."""

    def __init__(self, layers: Layers, device: Device) -> None:
        self.layers, self.device = layers, device

    def runs(self) -> list[Run]:
        """All layers in runs."""
        rows = self.layers.thinnest
        runs: list[Run] = []
        index = 0
        while index < len(self.layers.layers):
            run = self._from(index, len(rows) - 1, rows, (0,) * len(rows))
            runs.extend(self._grown(run, rows) if run.last > run.first else [run])
            index = run.last + 1
        return runs

    def _from(self, first: int, end: int, rows: tuple[int, ...], weights: tuple[int, ...]) -> Run:
        """The cascade that begins with a layer, or the layer alone."""
        layers = self.layers.layers
        alone = Run(first, first, (layers[first].output.height,))
        if not self._in_stripes(first, rows):
            return alone
        best, kept_bytes, buffered = alone, 0, weights[first]
        for index in range(first + 1, end + 1):
            if not (self._hands_on(index) and self._in_stripes(index, rows)):
                break
            kept_bytes += self._kept(index, rows)
            buffered += weights[index]
            whole = layers[index].source.bytes + layers[index].output.bytes
            if whole < self.device.sram_bytes or kept_bytes + buffered > self.device.sram_bytes:
                break
            best = Run(first, index, rows[first : index + 1], kept_bytes, weights[first : index + 1])
        return best

    def grown(self, run: Run, most: int) -> Run:
        """A cascade with the largest stripes whose kept rows take no more than so many bytes, or the thinnest."""
        best = self.with_rows(run, self.layers.thinnest[run.last])
        for rows in range(best.rows[-1] + 1, self.layers.layers[run.last].output.height):
            proposed = self.with_rows(run, rows)
            if proposed.kept_bytes > most:
                break
            best = proposed
        return best

    def with_rows(self, run: Run, last: int) -> Run:
        """A cascade with stripes of so many rows of its last layer's output."""
        layers = self.layers.layers
        rows = [*self.layers.thinnest]
        rows[run.last] = last
        for index in range(run.last, run.first, -1):
            rows[index - 1] = min(rows[index] * layers[index].stride[0], layers[index - 1].output.height)
        kept = sum(self._kept(index, rows) for index in range(run.first + 1, run.last + 1))
        return replace(run, rows=tuple(rows[run.first : run.last + 1]), kept_bytes=kept)

    def _in_stripes(self, index: int, rows: tuple[int, ...]) -> bool:
        layer = self.layers.layers[index]
        return layer.striped and rows[index] < layer.output.height

    def _hands_on(self, index: int) -> bool:
        """Whether a layer alone reads the map that is written before it."""
        layers = self.layers
        alone = layers.readers[index] == (index,) and index not in layers.outputs
        return alone and layers.layers[index].inputs[0] == index and not layers.maps[index].linear

    def _kept(self, index: int, rows: Sequence[int]) -> int:
        """Bytes of the rows that lie between a layer and the one before it: whole stripes of what it reads."""
        layer = self.layers.layers[index]
        needed = layer.input_rows(rows[index])
        return -(-(rows[index - 1] + needed) // needed) * needed * layer.source.row_bytes

    def _grown(self, run: Run, thinnest: tuple[int, ...]) -> list[Run]:
        """The cascade with the largest stripes that fit beside the weights that it would hold with the thinnest."""
        layers = self.layers.layers
        weights = self._held_weights(run)
        runs = [replace(run, buffered=weights[run.first : run.last + 1])]
        height, cascades = layers[run.last].output.height, 0
        for last in range(thinnest[run.last] + 1, (height + 1) // 2 + 1):
            rows = (*thinnest[: run.first], *self.with_rows(run, last).rows, *thinnest[run.last + 1 :])
            proposed = self._split(run.first, run.last, rows, weights)
            number = sum(each.last > each.first for each in proposed)
            cascades = cascades or number
            if number > cascades or any(self._needs(each) > self.device.sram_bytes for each in proposed):
                break
            runs = proposed
            if not number:
                break
        return runs

    def _split(self, first: int, last: int, rows: tuple[int, ...], weights: tuple[int, ...]) -> list[Run]:
        runs = []
        while first <= last:
            runs.append(self._from(first, last, rows, weights))
            first = runs[-1].last + 1
        return runs

    def _needs(self, run: Run) -> int:
        if run.last > run.first:
            return run.kept_bytes + sum(run.buffered)
        layer = self.layers.layers[run.first]
        return layer.source.bytes + layer.output.bytes

    def _held_weights(self, run: Run) -> tuple[int, ...]:
        """Bytes of the weights that are read more than once and have room in the SRAM beside a cascade's rows."""
        layers, device = self.layers.layers, self.device
        weights, room = [0] * len(layers), device.sram_bytes - run.kept_bytes
        for index, rows in zip(range(run.first, run.last + 1), run.rows, strict=True):
            layer = layers[index]
            if layer.weight_bytes <= room and weight_reads(layer, block_of(layer, rows, device), rows) > 1:
                weights[index] = layer.weight_bytes
                room -= layer.weight_bytes
        return tuple(weights)
