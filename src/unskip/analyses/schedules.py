"""The peak of live feature maps by schedule: layer by layer, reordered, in stripes, by patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses.base import Analysis, Network
from unskip.analyses.shortcuts import Shortcuts
from unskip.terminal import bare_table
from unskip.units import byte_unit

if TYPE_CHECKING:
    from unskip.dataflow import SchedulePeaks

_NAMES = {
    "layer_by_layer": "layer by layer",
    "reordered": "reordered",
    "in_stripes": "in stripes",
    "by_patches": "by patches",
}


@dataclass(frozen=True)
class Schedules(Analysis):
    """The peaks of the network and, as ``plain``, of the network without its shortcuts; None where it has none."""

    order: ClassVar[int] = 45

    peaks: SchedulePeaks
    plain: SchedulePeaks | None

    @classmethod
    def of(cls, network: Network) -> Self:
        """Find the best schedule of each kind, with and without shortcuts."""
        from unskip.dataflow import peaks_by_schedule

        peaks = peaks_by_schedule(network.net, network.input_shape)
        removable = network.analysis(Shortcuts).inventory
        return cls(peaks, peaks_by_schedule(network.plain, network.input_shape) if removable else None)

    def show(self, console: Console) -> Iterator[RenderableType]:
        """Nothing: the verdict goes by the usual schedule."""
        yield from ()

    def details(self, console: Console) -> Iterator[RenderableType]:
        """A line for every schedule, and what patches cost."""
        each = [self.peaks] if self.plain is None else [self.peaks, self.plain]
        size = byte_unit([self.peaks.layer_by_layer])
        columns = [size.name] if self.plain is None else [f"with, {size.name}", f"without, {size.name}", ""]

        def row(field: str) -> Iterator[str]:
            figures = [getattr(peaks, field) for peaks in each]
            yield _NAMES[field]
            yield from map(size.number, figures)
            if len(figures) > 1:
                yield f"{figures[0] / figures[1]:.2f}x"

        yield bare_table("peak by schedule", ("<live feature maps", *columns), map(row, _NAMES))
        if any(peaks.patch_grid > 1 for peaks in each):
            price = " and ".join(f"{peaks.extra_macs:.0%}" for peaks in each)
            note = f"(by patches computes {price} of the MACs a second time; docs/explanation/schedules.md)"
            yield Text(note, style="dim")
