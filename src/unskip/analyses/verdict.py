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

__all__ = ["Verdict"]

_PAYS = "Removal pays: peak live feature maps fall from {peak} to {plain_peak} ({ratio:.2f}x), from {at} to {plain_at}."
_NO_GAIN = "Removing the shortcuts will not lower peak memory: {peak} with and without, at {plain_at}"
_IN_BLOCKS = (
    "Inside the blocks, the peak falls from {blocks} to {plain_blocks}: removal can pay together with a leaner net "
    "around them."
)
_NOTHING = "This network has no shortcuts, so there is nothing to remove."
_ADDITIONS = "This network has no shortcut that can be removed; additions of maps that stay as they are: {additions}."
_NOT_FOUND = "No shortcut was found that can be removed, but {unknown}."
_PEAK = "Peak live feature maps: {peak}, at {at}."


@dataclass(frozen=True)
class Verdict(Analysis):
    """``pays`` where the peak is lower without shortcuts; ``text`` says so with what was computed, and no more."""

    order: ClassVar[int] = 50

    pays: bool
    text: str

    @classmethod
    def of(cls, network: Network) -> Self:
        """Judge by the other analyses."""
        memory, kept = network.analysis(Memory), network.analysis(Kept)
        inventory = network.analysis(Shortcuts).inventory
        full, plain = memory.timeline, memory.plain_timeline
        pays = plain.peak_bytes < full.peak_bytes
        if not inventory:
            reason = _NOT_FOUND if kept.unknown else _ADDITIONS if kept.additions else _NOTHING
            sentences = [reason, _PEAK]
        elif pays:
            sentences = [_PAYS]
        else:
            crossed = any(plain.peak_at in shortcut.held_during for shortcut in inventory)
            sentences = [_NO_GAIN + ("." if crossed else ", which no shortcut crosses.")]
            if memory.plain_peak_in_blocks < memory.peak_in_blocks < full.peak_bytes:
                sentences.append(_IN_BLOCKS)
        if inventory and kept.unknown:
            sentences.append("But {unknown}.")
        size = byte_unit([full.peak_bytes])
        text = " ".join(sentences).format(
            peak=size.text(full.peak_bytes),
            plain_peak=size.text(plain.peak_bytes),
            ratio=full.peak_bytes / plain.peak_bytes,
            at=full.peak_at,
            plain_at=plain.peak_at,
            blocks=size.text(memory.peak_in_blocks),
            plain_blocks=size.text(memory.plain_peak_in_blocks),
            additions=kept.additions,
            unknown=kept.unknown,
        )
        return cls(pays, text)

    def show(self, console: Console) -> Iterator[RenderableType]:
        """The verdict."""
        yield Text(self.text, style="bold")
