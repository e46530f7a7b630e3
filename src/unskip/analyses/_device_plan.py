"""A plan for a device in tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from unskip.analyses._compiled import compiled_table
from unskip.measures import measures
from unskip.terminal import bare_table
from unskip.units import writer

if TYPE_CHECKING:
    from unskip.search import CompiledStudent, DevicePlan

_ADVISED = {"cycles": "The fewest cycles", "sram": "The least SRAM"}


def device_plan_json(plan: DevicePlan) -> dict[str, Any]:
    """A plan as plain data for JSON; ``edits`` can stand in a recipe as they are."""
    return {
        "device": {"target": plan.device.target, "setting": dict(plan.device.setting)},
        "lines": [line.to_json() for line in plan.lines],
        "compiled": plan.num_compiled,
        "not_compiled": plan.num_left,
        "refused": dict(plan.refused),
    }


def device_plan_tables(plan: DevicePlan, console: Console) -> Iterator[RenderableType]:
    """What each line costs, its edits, and what was not compiled."""
    yield Text(f"on {plan.device}", style="bold")
    yield Group(*compiled_table(plan.lines, [str(number) for number in range(len(plan.lines))], console))
    yield bare_table(
        "the edits, as student.edits takes them",
        ("", "~", "shortcuts left"),
        (
            (
                str(number),
                "\n".join(f"- {edit}" for edit in line.recipe_edits) or "as it is",
                shortcuts(line),
            )
            for number, line in enumerate(plan.lines)
        ),
        head=False,
    )
    for student, reason in plan.refused.items():
        yield Text(f"{student}: not compiled: {reason}.")
    sentence = f"Compiled: {plan.num_compiled} beside the network itself."
    if plan.num_left:
        sentence += f" Not compiled: {plan.num_left}, which a forecast puts behind them."
    yield Text(sentence, style="dim")


def device_advice(plan: DevicePlan) -> str:
    """Which lines need the least, and which keep shortcuts and need hardly more."""
    every = measures()
    sentences = []
    for name, words in _ADVISED.items():
        if name not in plan.lines[0].figures or (name == "sram" and _is_cache(plan.lines[0])):
            continue
        best = plan.best(name)
        if best is None:
            sentences.append(f"{words}: the network as it is; no edit here that was compiled needs 2 % less.")
            continue
        values = [line.figures[name].value or 0 for line in (plan.lines[0], best)]
        unit, write = writer(every[name].about.unit, values)
        least, ratio = f"{write(values[1])} {unit}".rstrip(), f"{values[0] / values[1]:.2f}x"
        sentences.append(f"{words}: line {plan.lines.index(best)}, {least}, {ratio} less than as it is.")
        near = plan.as_good(best, name)
        if near is not None:
            sentences.append(
                f"Line {plan.lines.index(near)} comes within 2 % of it and keeps {near.student.shortcuts} shortcuts."
            )
    return " ".join(sentences)


def shortcuts(line: CompiledStudent) -> str:
    """How many are left."""
    return f"{line.student.shortcuts} shortcut{'s' * (line.student.shortcuts != 1)}"


def _is_cache(line: CompiledStudent) -> bool:
    return line.estimate is not None and line.estimate.sram_limit_bytes is not None
