"""What a device's compiler said of networks: facts for sentences, tables, and a picture of every setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from unskip.records import About, Cell, Comparison, Estimate, Figure, Group
from unskip.report.drawings import colors_of
from unskip.report.layers import DrawnEstimate, bound_of, cascades_of, layers_plot
from unskip.report.svg import BOUNDS
from unskip.report.table import RowContent, Table, build, compared, in_sentence
from unskip.units import times, writer

DEVICE_COSTS = ("sram", "dram_traffic")
"""The measures that are said in a sentence after the cycles."""

_WORDS = {"compute": "computing", "sram": "SRAM", "dram": "DRAM", "flash": "flash"}


@dataclass(frozen=True)
class OnDevice:
    """A subject beside the first one, on a device in a setting, both estimated.

    ``verdict`` goes by the cycles, None where the compiler says none; ``ratio`` is how many times as many the one has
    that has more, ``this`` and ``other`` are their numbers as they are written, ``costs`` the other measures: how they
    compare, and the numbers.
    """

    subject: str
    first: str
    device: str
    by: str
    verdict: Literal["faster", "slower", "as fast"] | None
    ratio: str
    this: str
    other: str
    costs: tuple[tuple[str, str], ...]
    cycles: int


def device_of(comparison: Comparison, group: Group) -> str:
    """A setting's device by its name, with the words of its configuration by which it differs from the others here."""
    name, words = _words(group)
    others = [_words(other) for other in comparison.groups if other.target and other is not group]
    same = [set(other) for device, other in others if device == name]
    apart = [word for word in words if any(word not in other for other in same)]
    return ", ".join([name, *apart])


def _words(group: Group) -> tuple[str, list[str]]:
    name, _, words = (group.target or "").partition(" (")
    return name, words.removesuffix(")").split(", ")


def on_devices(comparison: Comparison) -> list[OnDevice]:
    """Every subject beside the first one, setting by setting, where both were estimated."""
    return [each for group in comparison.groups if group.target for each in _in_group(comparison, group)]


def best_on_device(comparison: Comparison) -> OnDevice | None:
    """The one with the fewest cycles on the first device on which anything is compared."""
    compared_ones = on_devices(comparison)
    first = [each for each in compared_ones if each.device == compared_ones[0].device]
    return min(first, key=lambda each: each.cycles, default=None)


def alone_on_device(comparison: Comparison) -> tuple[Group, Cell] | None:
    """The first cell that has an estimate, for pages on which nothing is compared with anything."""
    cells = ((group, cell) for group in comparison.groups for cell in group.cells if cell.estimate)
    return next(cells, None)


def refused_there(comparison: Comparison) -> list[tuple[str, Cell]]:
    """The cells, and on which device, that were not estimated."""
    groups = (group for group in comparison.groups if group.target)
    return [(device_of(comparison, group), cell) for group in groups for cell in group.cells if cell.refused]


def _in_group(comparison: Comparison, group: Group) -> list[OnDevice]:
    first, *others = group.cells
    return [_beside(comparison, group, first, cell) for cell in others if first.estimate and cell.estimate]


def _beside(comparison: Comparison, group: Group, first: Cell, cell: Cell) -> OnDevice:
    this, other = ((each.estimate and each.estimate.cycles) or 0 for each in (cell, first))
    unit, write = writer("count", [this, other])
    ratio = times(max(this, other) / min(this, other)) if this and other else ""
    verdict: Literal["faster", "slower", "as fast"] | None = None
    if ratio:
        verdict = "as fast" if ratio == times(1) else "faster" if this < other else "slower"
    return OnDevice(
        subject=cell.subject,
        first=first.subject,
        device=device_of(comparison, group),
        by=group.runtime,
        verdict=verdict,
        ratio=ratio,
        this=write(this),
        other=f"{write(other)} {unit}".strip(),
        costs=tuple(filter(None, (_cost(comparison, cell, first, name) for name in DEVICE_COSTS))),
        cycles=this,
    )


def _cost(comparison: Comparison, cell: Cell, first: Cell, name: str) -> tuple[str, str] | None:
    """``SRAM 1.04x more`` and ``379.9 instead of 366.7 KiB``; None where the two cannot be compared."""
    this, other = (each.figures.get(name, Figure()) for each in (cell, first))
    if this.value is None or other.value is None:
        return None
    about = comparison.measures[name]
    how = compared(this, other, about)
    if not how:
        return None
    unit, write = writer(about.unit, [this.value, other.value])
    same = f"{write(this.value)} {unit}"
    numbers = same if this.value == other.value else f"{write(this.value)} instead of {write(other.value)} {unit}"
    return f"{in_sentence(about.title)} {how}", numbers


@dataclass(frozen=True)
class DeviceSection:
    """What the page shows of a setting that is a device.

    ``bounds`` are the names in the picture's legend with the words for them; ``striped``: it has cascades.
    """

    meanings: dict[str, str]
    cycles: Table
    traffic: Table
    wide: Markup
    narrow: Markup
    bounds: tuple[tuple[str, str], ...]
    striped: bool
    limited: bool


def device_section(comparison: Comparison, group: Group, name: str) -> DeviceSection | None:
    """Tables and the picture; None where nothing was estimated. ``name`` is unique in the page."""
    estimates = {cell.subject: cell.estimate for cell in group.cells if cell.estimate}
    if not estimates:
        return None
    colors = colors_of(comparison)
    drawn = [DrawnEstimate(label, estimate, colors[label]) for label, estimate in estimates.items() if estimate.layers]
    wide, narrow = (layers_plot(drawn, f"{name}-{width}", width) if drawn else Markup() for width in (1040, 400))
    layers = [layer for each in drawn for layer in each.estimate.layers if layer.cycles]
    present = {bound_of(layer) for layer in layers}
    return DeviceSection(
        meanings=group.meanings,
        cycles=cycles_table(comparison, group),
        traffic=traffic_table(comparison, group),
        wide=wide,
        narrow=narrow,
        bounds=tuple((bound, _WORDS[bound]) for bound in BOUNDS if bound in present),
        striped=any(cascades_of(each.estimate.layers) for each in drawn),
        limited=any(estimate.sram_limit_bytes for estimate in estimates.values()),
    )


def cycles_table(comparison: Comparison, group: Group) -> Table:
    """What the layers' cycles go by, how many layers run in cascades, and what is left to another processor."""
    facts = {cell.subject: _cycles(cell.estimate) for cell in group.cells if cell.estimate}
    bounds = [bound for bound in BOUNDS if any(bound in each for each in facts.values())]
    columns = {
        bound: About(
            title=f"Bound by {_WORDS[bound]}",
            unit="count",
            better="lower",
            kind="time",
            definition=f"Bound by {_WORDS[bound]}: cycles of the layers that take as long as "
            + ("computing does" if bound == "compute" else f"what they read from the {_WORDS[bound]} and write to it"),
        )
        for bound in bounds
    }
    columns["operations"] = About(
        title="Operations",
        unit="count",
        better="lower",
        kind="time",
        definition="Operations: as the device's compiler counts them, those that it merges into others too",
    )
    columns["cascaded"] = About(
        title="In cascades",
        unit="count",
        better="higher",
        kind="time",
        definition="In cascades: operations that run in stripes, one behind the other, so that the maps between them "
        "never exist whole",
    )
    columns["fallback"] = About(
        title="On the CPU",
        unit="share",
        better="lower",
        kind="time",
        definition="On the CPU: the share of the operations that the device's processor has to compute",
    )
    return _table(comparison, group, columns, facts)


def _cycles(estimate: Estimate) -> dict[str, Figure]:
    counts = dict.fromkeys(BOUNDS, 0)
    for layer in estimate.layers:
        bound = bound_of(layer)
        counts[bound] = counts.get(bound, 0) + layer.cycles
    striped = sum(last - first + 1 for first, last in cascades_of(estimate.layers))
    facts = {bound: Figure(value=count) for bound, count in counts.items() if count}
    return facts | {
        "operations": Figure(value=estimate.operations),
        "cascaded": Figure(value=striped),
        "fallback": Figure(value=estimate.fallback_share),
    }


_WAYS = {
    "feature_maps_read": "maps read",
    "feature_maps_written": "maps written",
    "weights_read": "weights read",
    "weights_written": "weights written",
}


def traffic_table(comparison: Comparison, group: Group) -> Table:
    """What one image reads from each memory and writes to it; ways that nothing goes are left out."""
    facts = {cell.subject: _traffic(cell.estimate) for cell in group.cells if cell.estimate}
    used = {name for each in facts.values() for name, figure in each.items() if figure.value}
    columns = {
        f"{memory} {way}": About(
            title=f"{_WORDS.get(memory, memory)}: {words}",
            unit="bytes",
            better="lower",
            kind="memory",
            definition="Read and written: what one image reads from a memory and writes to it. Weights are written "
            "where they are brought into SRAM",
        )
        for memory in ("dram", "flash", "sram")
        for way, words in _WAYS.items()
        if f"{memory} {way}" in used
    }
    return _table(comparison, group, columns, facts)


def _traffic(estimate: Estimate) -> dict[str, Figure]:
    return {
        f"{memory} {way}": Figure(value=getattr(traffic, way))
        for memory, traffic in estimate.traffic.items()
        for way in _WAYS
    }


def _table(
    comparison: Comparison, group: Group, columns: dict[str, About], facts: dict[str, dict[str, Figure]]
) -> Table:
    colors = colors_of(comparison)
    lines = [
        RowContent(cell.subject, figures=facts[cell.subject], color=colors[cell.subject])
        for cell in group.cells
        if cell.subject in facts
    ]
    return build("Net", columns, lines)
