"""The smallest edits that lower the peak of live feature maps, step by step; a search that takes time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses.base import Analysis, Network
from unskip.terminal import bare_table
from unskip.units import byte_unit, operations

if TYPE_CHECKING:
    from unskip.search import PlanLine

__all__ = ["Plan"]

_NOTES = {"shortened": "shortened instead", "compared": "to compare"}
_NO_EDIT = "The peak is {own} at {at}; no edit here fits."
_NO_GAIN = "The peak is {own} at {at}; no edit here lowers it."
_FALLS = "The peak falls from {own} to {last} ({ratio:.2f}x) with the edits of line {number}."
_MORE = "More steps would follow: all edits together give {lowest}."
_END = "It is at {at} then; no further edit here lowers it."
_SHORTENED = "Line {shortened} gets as low with shortcuts shortened instead of removed."


@dataclass(frozen=True)
class Plan(Analysis):
    """The lines are those of `unskip.plan`, the network as it is first."""

    order: ClassVar[int] = 60
    takes_time: ClassVar[bool] = True

    lines: tuple[PlanLine, ...]

    @classmethod
    def of(cls, network: Network) -> Self:
        """Search the steps."""
        from unskip.search import plan

        return cls(tuple(plan(network.net, network.input_shape)))

    @property
    def advice(self) -> str:
        """What the plan comes to; only what was computed, nothing about accuracy or latency."""
        own, last = self.lines[0], [line for line in self.lines if line.kind in ("as it is", "step")][-1]
        lowest = min(line.peak_bytes for line in self.lines)
        shortened = [
            number
            for number, line in enumerate(self.lines)
            if line.kind == "shortened" and line.peak_bytes <= last.peak_bytes
        ]
        if last is own:
            sentences = [_NO_GAIN if len(self.lines) > 1 else _NO_EDIT]
        else:
            sentences = [_FALLS, _MORE if lowest < last.peak_bytes else _END]
        if shortened:
            sentences.append(_SHORTENED)
        # Where the fewest shortcuts are left, the peak is at an operation that no removal relieves.
        end = min((line for line in self.lines if line.peak_bytes == last.peak_bytes), key=lambda line: line.shortcuts)
        size = byte_unit([own.peak_bytes])
        return " ".join(sentences).format(
            own=size.text(own.peak_bytes),
            last=size.text(last.peak_bytes),
            ratio=last.ratio,
            number=self.lines.index(last),
            at=end.peak_at,
            lowest=size.text(lowest),
            shortened=shortened[-1] if shortened else None,
        )

    def to_json(self) -> dict[str, Any]:
        """The lines and the advice."""
        return {"lines": [line.to_json() for line in self.lines], "advice": self.advice}

    def show(self, console: Console) -> Iterator[RenderableType]:
        """What each line costs, its edits, the advice."""
        size = byte_unit([self.lines[0].peak_bytes])
        yield bare_table(
            "peak of live feature maps after edits",
            ("", size.name, "", "shortcuts", "MACs", "parameters", "~peak at"),
            (
                (
                    str(number),
                    size.number(line.peak_bytes),
                    f"{line.ratio:.2f}x",
                    str(line.shortcuts),
                    operations(line.macs),
                    f"{line.parameters:,}",
                    line.peak_at,
                )
                for number, line in enumerate(self.lines)
            ),
        )
        yield bare_table(
            "the edits, as student.edits takes them",
            ("", "~", "<"),
            (
                (
                    str(number),
                    "\n".join(f"- {edit}" for edit in line.recipe_edits) or "as it is",
                    Text(_NOTES.get(line.kind, ""), style="dim"),
                )
                for number, line in enumerate(self.lines)
            ),
            head=False,
        )
        yield Text(self.advice, style="bold")
