"""The smallest edits that lower the peak of live feature maps, or what a device needs; a search that takes time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses._device_plan import device_advice, device_plan_json, device_plan_tables
from unskip.analyses.base import Analysis, Network
from unskip.terminal import bare_table
from unskip.units import byte_unit, operations

if TYPE_CHECKING:
    from unskip.search import DevicePlan, PlanLine


_NOTES = {"shortened": "shortened instead", "compared": "to compare"}


@dataclass(frozen=True)
class Plan(Analysis):
    """The lines are those of `unskip.plan`, the network as it is first; for a device there is ``on_device`` instead."""

    order: ClassVar[int] = 60
    takes_time: ClassVar[bool] = True

    lines: tuple[PlanLine, ...] = ()
    on_device: DevicePlan | None = None

    @classmethod
    def of(cls, network: Network) -> Self:
        """Search the steps."""
        from unskip.search import MAX_COMPILED, plan, plan_for_device

        target = network.target
        if target is not None:
            compiles = target.compiles or MAX_COMPILED
            device_plan = plan_for_device(
                network.net, network.input_shape, target.device, compiles=compiles, compiled=target.compiled
            )
            return cls(on_device=device_plan)
        return cls(tuple(plan(network.net, network.input_shape)))

    @property
    def advice(self) -> str:
        """What the plan comes to; only what was computed, nothing about accuracy or latency."""
        if self.on_device is not None:
            return device_advice(self.on_device)
        own, last = self.lines[0], [line for line in self.lines if line.kind in ("as it is", "step")][-1]
        # Where the fewest shortcuts are left, the peak is at an operation that no removal relieves.
        end = min((line for line in self.lines if line.peak_bytes == last.peak_bytes), key=lambda line: line.shortcuts)
        size = byte_unit([own.peak_bytes]).text
        if last is own:
            what = "lowers it" if len(self.lines) > 1 else "fits"
            sentence = f"The peak is {size(own.peak_bytes)} at {end.peak_at}; no edit here {what}."
        else:
            sentence = (
                f"The peak falls from {size(own.peak_bytes)} to {size(last.peak_bytes)} ({last.ratio:.2f}x) "
                f"with the edits of line {self.lines.index(last)}. "
            )
            lowest = min(line.peak_bytes for line in self.lines)
            if lowest < last.peak_bytes:
                sentence += f"More steps would follow: all edits together give {size(lowest)}."
            else:
                sentence += f"It is at {end.peak_at} then; no further edit here lowers it."
        for number, line in reversed([*enumerate(self.lines)]):
            if line.kind == "shortened" and line.peak_bytes <= last.peak_bytes:
                return f"{sentence} Line {number} gets as low with shortcuts shortened instead of removed."
        return sentence

    def to_json(self) -> dict[str, Any]:
        """The lines and the advice."""
        if self.on_device is not None:
            return device_plan_json(self.on_device) | {"advice": self.advice}
        return {"lines": [line.to_json() for line in self.lines], "advice": self.advice}

    def show(self, console: Console) -> Iterator[RenderableType]:
        """What each line costs, its edits, the advice."""
        if self.on_device is not None:
            yield from device_plan_tables(self.on_device, console)
            yield Text(self.advice, style="bold")
            return
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
