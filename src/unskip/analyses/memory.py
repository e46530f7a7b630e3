"""The feature maps that are alive while a network runs, with and without its shortcuts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses.base import Analysis, Network
from unskip.analyses.shortcuts import Shortcuts
from unskip.terminal import bare_table
from unskip.units import byte_unit

if TYPE_CHECKING:
    from unskip.dataflow import MemoryTimeline


_MARKS = {
    (True, True): " peak, with and without",
    (True, False): " peak",
    (False, True): " peak without shortcuts",
    (False, False): "",
}


@dataclass(frozen=True)
class Part:
    """A block, or a layer or part outside of blocks, and the most bytes that live in it."""

    name: str
    live_bytes: int
    plain_live_bytes: int
    has_peak: bool
    has_plain_peak: bool


@dataclass(frozen=True)
class Memory(Analysis):
    """Live bytes at every operation and the most in every part; ``plain_`` is without shortcuts.

    ``peak_in_blocks`` is the most that lives inside of the blocks that have, or had, a shortcut; 0 where there is none.
    """

    order: ClassVar[int] = 40

    timeline: MemoryTimeline
    plain_timeline: MemoryTimeline
    peak_in_blocks: int
    plain_peak_in_blocks: int
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, network: Network) -> Self:
        """Forecast the memory of a network with and without shortcuts."""
        from unskip.dataflow import forecast

        timeline, plain = (forecast(net, network.input_shape) for net in (network.net, network.plain))
        blocks = tuple(f"{shortcut.place}." for shortcut in network.analysis(Shortcuts).inventory)
        stages = network.net.stage_names
        most, plain_most = _by_part(timeline, stages), _by_part(plain, stages)
        at, plain_at = (_part(each.peak_at, stages) for each in (timeline, plain))
        in_blocks, plain_in_blocks = (
            max((each.live_bytes for each in line.operations if each.name.startswith(blocks)), default=0)
            for line in (timeline, plain)
        )
        # A BatchNorm behind an addition is an operation; behind the convolution that is left, it is folded and none.
        parts = tuple(Part(name, most[name], plain_most.get(name, 0), name == at, name == plain_at) for name in most)
        return cls(timeline, plain, in_blocks, plain_in_blocks, parts)

    def show(self, console: Console) -> Iterator[RenderableType]:
        """The whole in figures, with and without shortcuts, and how it was computed."""
        if self.peak_in_blocks > 0:
            full, plain = self.timeline, self.plain_timeline
            size = byte_unit([full.peak_bytes])
            figures = {
                "peak inside the blocks": (self.peak_in_blocks, self.plain_peak_in_blocks),
                "mean over the operations": (full.mean_bytes, plain.mean_bytes),
                "read and written by all operations": (full.moved_bytes, plain.moved_bytes),
            }
            yield bare_table(
                None,
                ("<live feature maps", f"with, {size.name}", f"without, {size.name}", ""),
                ((name, *map(size.number, pair), f"{pair[0] / pair[1]:.2f}x") for name, pair in figures.items()),
            )
        yield Text(f"({self.timeline.policy})", style="dim")

    def details(self, console: Console) -> Iterator[RenderableType]:
        """A bar for every part: dark what lives without shortcuts, light what they add."""
        size = byte_unit([self.timeline.peak_bytes])
        has_shortcuts = self.peak_in_blocks > 0
        columns = ("with", "without") if has_shortcuts else ("",)
        width = max(10, min(console.width, 120) - max(len(part.name) for part in self.parts) - 45)
        dark, light = ("#", "-") if console.options.ascii_only else ("█", "░")

        def row(part: Part) -> Iterator[str | Text]:
            lives = (part.live_bytes, part.plain_live_bytes)
            total, kept = (round(width * live / self.timeline.peak_bytes) for live in (lives[0], min(lives)))
            yield part.name
            yield from map(size.number, lives[: len(columns)])
            mark = _MARKS[part.has_peak, part.has_plain_peak and has_shortcuts]
            yield Text.assemble(dark * kept, (light * (total - kept), "yellow"), (mark, "bold"))

        yield bare_table(
            f"most live feature maps in each part, {size.name}", ("<part", *columns, "<"), map(row, self.parts)
        )


def _by_part(timeline: MemoryTimeline, stages: Collection[str]) -> dict[str, int]:
    """The largest live bytes in each block, and in each layer or part outside of blocks, in order."""
    return {
        part: max(operation.live_bytes for operation in operations)
        for part, operations in groupby(timeline.operations, lambda operation: _part(operation.name, stages))
    }


def _part(operation: str, stages: Collection[str]) -> str:
    """``stage1.block2`` for what lies in a stage, ``stem`` or ``head`` for the rest."""
    names = operation.split(".")
    return ".".join(names[:2]) if names[0] in stages else names[0]
