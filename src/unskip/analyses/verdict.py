"""Whether removing the shortcuts pays: what it does to the peak of live feature maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses.base import Analysis, Network
from unskip.analyses.kept import Kept
from unskip.analyses.memory import Memory
from unskip.analyses.shortcuts import Shortcuts
from unskip.units import byte_unit


@dataclass(frozen=True)
class Verdict(Analysis):
    """``pays`` where the peak is lower without shortcuts; ``text`` says so with what was computed, and no more.

    ``enough`` names the shortcuts whose removal alone lowers the peak as far, as edits take them (whole stages by their
    names), and is empty where all of them have to go, or none lowers it.
    """

    order: ClassVar[int] = 5

    pays: bool
    text: str
    enough: tuple[str, ...] = ()

    @classmethod
    def of(cls, network: Network) -> Self:
        """Judge by the other analyses."""
        from unskip.dataflow import shortcuts_at_the_peak
        from unskip.surgery import removal_of

        memory, kept = network.analysis(Memory), network.analysis(Kept)
        inventory = network.analysis(Shortcuts).inventory
        full, plain = memory.timeline, memory.plain_timeline
        size = byte_unit([full.peak_bytes]).text
        peak, plain_peak = size(full.peak_bytes), size(plain.peak_bytes)
        pays = plain.peak_bytes < full.peak_bytes
        enough: list[str] = []
        if not inventory:
            return cls(pays, f"{kept.nothing_to_remove} Peak live feature maps: {peak}, at {full.peak_at}.")
        if pays:
            text = (
                f"Removal pays: peak live feature maps fall from {peak} to {plain_peak} "
                f"({full.peak_bytes / plain.peak_bytes:.2f}x), from {full.peak_at} to {plain.peak_at}."
            )
            places = [shortcut.place for shortcut in inventory]
            at_the_peak = shortcuts_at_the_peak(network.net, network.input_shape)
            enough = removal_of(at_the_peak, places)
            if enough:
                text += (
                    f" {len(at_the_peak)} of the {len(places)} shortcuts are enough for that, by the edit "
                    f"without_shortcuts: {{only: [{', '.join(enough)}]}}."
                )
        else:
            crossed = any(plain.peak_at in shortcut.held_during for shortcut in inventory)
            text = (
                f"Removing the shortcuts will not lower peak memory: {peak} with and without, at {plain.peak_at}"
                f"{'' if crossed else ', which no shortcut crosses'}."
            )
            if memory.plain_peak_in_blocks < memory.peak_in_blocks < full.peak_bytes:
                text += (
                    f" Inside the blocks, the peak falls from {size(memory.peak_in_blocks)} to "
                    f"{size(memory.plain_peak_in_blocks)}: removal can pay together with a leaner net around them."
                )
        return cls(pays, f"{text} But {kept.unknown}." if kept.unknown else text, tuple(enough))

    def show(self, console: Console) -> Iterator[RenderableType]:
        """The verdict."""
        yield Text(self.text, style="bold")
