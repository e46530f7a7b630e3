"""A plan as a table and in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unskip.planning.search import PlanLine
from unskip.terminal import bare_table
from unskip.units import byte_unit
from unskip.units import operations as macs_text

__all__ = ["advice", "plan_to_json", "render_plan"]

_NOTES = {"shortened": "shortened instead", "compared": "to compare"}


def plan_to_json(lines: Sequence[PlanLine]) -> dict[str, Any]:
    """The lines and the advice as plain data for JSON."""
    return {"lines": [line.to_json() for line in lines], "advice": advice(lines)}


def advice(lines: Sequence[PlanLine]) -> str:
    """What the plan comes to, in sentences; only what was computed, nothing about accuracy or latency."""
    steps = [line for line in lines if line.kind in ("as it is", "step")]
    own, last = steps[0], steps[-1]
    size = byte_unit([own.peak_bytes])
    # Where the fewest shortcuts are left, the peak is at an operation that no removal relieves.
    end = min((line for line in lines if line.peak_bytes == last.peak_bytes), key=lambda line: line.shortcuts)
    if last is own:
        peak = f"The peak is {size.text(own.peak_bytes)} at {end.peak_at}"
        return f"{peak}; {_rest(lines, last)} will not lower it." if len(lines) > 1 else f"{peak}; no edit here fits."
    changes = [(size.text(after.peak_bytes), _change(own, before, after)) for before, after in pairwise(steps)]
    path = f": {', then '.join(f'{peak} with {change}' for peak, change in changes)}"
    said = [
        f"The peak falls from {size.number(own.peak_bytes)} to {size.text(last.peak_bytes)} ({last.ratio:.2f}x)"
        f"{path if len(changes) > 1 else f' with {changes[0][1]}'}."
    ]
    lowest = min(line.peak_bytes for line in lines)
    rest = _rest(lines, last)
    if lowest < last.peak_bytes:
        said.append(f"More steps would follow: all edits together give {size.text(lowest)}.")
    else:
        said.append(f"It is at {end.peak_at} then{f'; {rest} will not lower it further' if rest else ''}.")
    shortened = [line for line in lines if line.kind == "shortened" and line.peak_bytes <= last.peak_bytes]
    if shortened:
        said.append(f"Line {lines.index(shortened[-1])} gets as low with shortcuts shortened instead of removed.")
    return " ".join(said)


def _rest(lines: Sequence[PlanLine], last: PlanLine) -> str:
    """The edits that a plan knows and has not made."""
    removal = f"removing all {lines[0].shortcuts} shortcuts" if last.shortcuts > 1 else "removing the last shortcut"
    lean = any(map(_is_lean, lines)) and not _is_lean(last)
    return " and ".join([removal] * (last.shortcuts > 0) + ["a lean stem"] * lean)


def _change(own: PlanLine, before: PlanLine, after: PlanLine) -> str:
    """What a step does that the one before did not."""
    did = ["a lean stem"] if _is_lean(after) and not _is_lean(before) else []
    count = before.shortcuts - after.shortcuts
    if before.shortcuts < own.shortcuts:
        did += [f"{count} more removed"] * (count > 0)
    else:
        did += [f"{count} {'shortcut' if count == 1 else 'shortcuts'} removed"] * (count > 0)
    return " and ".join(did)


def _is_lean(line: PlanLine) -> bool:
    return any(name == "with_lean_stem" for name, _ in line.edits)


def render_plan(lines: Sequence[PlanLine], console: Console) -> None:
    """Print a plan: what each line costs, its edits, the advice."""
    size = byte_unit([lines[0].peak_bytes])
    table = bare_table("peak of live feature maps after edits")
    for column in ("", size.name, "", "shortcuts", "MACs", "parameters"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("peak at", overflow="fold")
    for number, line in enumerate(lines):
        table.add_row(
            str(number),
            size.number(line.peak_bytes),
            f"{line.ratio:.2f}x",
            str(line.shortcuts),
            macs_text(line.macs),
            f"{line.parameters:,}",
            line.peak_at,
        )
    console.print(table)
    console.print()
    console.print(Text("the edits, as student.edits takes them", style="bold"))
    edits = Table(box=None, pad_edge=False, show_header=False)
    edits.add_column(justify="right", no_wrap=True)
    edits.add_column(overflow="fold")
    edits.add_column(style="dim", no_wrap=True)
    for number, line in enumerate(lines):
        text = "\n".join(f"- {edit}" for edit in line.recipe_edits)
        edits.add_row(str(number), Text(text or "as it is"), _NOTES.get(line.kind, ""))
    console.print(edits)
    console.print()
    console.print(Text(advice(lines), style="bold"))
