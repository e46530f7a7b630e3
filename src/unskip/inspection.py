"""What removing a network's shortcuts will give, said before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unskip.dataflow import MemoryTimeline, Shortcut, count_macs, forecast, inventory, num_parameters, shortcut_share
from unskip.nets import (
    StagedNet,
    kept_branches,
    num_kept_additions,
    original_place,
    unknown_shortcuts,
    unopened_modules,
)
from unskip.surgery import residual_blocks, without_shortcuts
from unskip.terminal import bare_table
from unskip.units import Unit, byte_unit
from unskip.units import operations as macs_text

__all__ = ["Inspection", "inspect_net", "render", "verdict"]


@dataclass(frozen=True)
class Inspection:
    """A network, its shortcuts, and the same network without them.

    ``input_shape`` is ``(channels, height, width)``; ``macs`` are multiply-accumulates for one image. The ``plain_``
    fields belong to the network without shortcuts. ``share`` is the share of live feature-map bytes that the
    shortcuts hold, summed over the operations. Of a parsed network, ``original_places`` are the modules that its blocks
    were, ``kept_branches`` the branches that stay as they are, with the reason, and ``kept_additions`` how many
    additions of two maps are among them. ``unopened`` are the modules that could not be looked into, by their names in
    the original, with the reason; ``unknown`` says so in words.
    """

    name: str
    input_shape: tuple[int, int, int]
    parameters: int
    macs: int
    inventory: tuple[Shortcut, ...]
    share: float
    timeline: MemoryTimeline
    plain_parameters: int
    plain_macs: int
    plain_timeline: MemoryTimeline
    original_places: Mapping[str, str]
    kept_branches: Mapping[str, str]
    kept_additions: int
    unopened: Mapping[str, str]
    unknown: str

    def to_json(self) -> dict[str, Any]:
        """Everything, and the verdict, as plain data for JSON."""
        return {**asdict(self), "verdict": verdict(self)}


def inspect_net(net: StagedNet, input_shape: tuple[int, int, int]) -> Inspection:
    """Count and forecast a network with and without its shortcuts; ``input_shape`` is (C, H, W) of one image.

    Raises `UnskipError` when an image of that size does not fit the network.
    """
    timeline = forecast(net, input_shape)
    plain = without_shortcuts(net) if residual_blocks(net) else net
    return Inspection(
        name=_name(net),
        input_shape=input_shape,
        parameters=num_parameters(net),
        macs=count_macs(net, input_shape),
        inventory=tuple(inventory(net, input_shape)),
        share=shortcut_share(net, input_shape),
        timeline=timeline,
        plain_parameters=num_parameters(plain),
        plain_macs=count_macs(plain, input_shape),
        plain_timeline=forecast(plain, input_shape),
        original_places={place: original_place(net, place) for place in residual_blocks(net) if net.original_names},
        kept_branches=kept_branches(net),
        kept_additions=num_kept_additions(net),
        unopened=unopened_modules(net),
        unknown=unknown_shortcuts(net),
    )


def verdict(inspection: Inspection) -> str:
    """Whether removal pays, in sentences; only what was computed, nothing about accuracy or latency."""
    if not inspection.inventory:
        timeline = inspection.timeline
        peak = f"Peak live feature maps: {_unit(inspection).text(timeline.peak_bytes)}, at {timeline.peak_at}."
        return f"{_nothing_to_remove(inspection)} {peak}"
    said = [_about_peak(inspection), _about_mean(inspection), _about_projections(inspection)]
    return " ".join([*said, *([f"But {inspection.unknown}."] if inspection.unknown else [])])


def _nothing_to_remove(inspection: Inspection) -> str:
    """Free of shortcuts is only a network that was looked into, with no addition left in it."""
    if inspection.unknown:
        return f"No shortcut was found that can be removed, but {inspection.unknown}."
    if inspection.kept_additions:
        one = inspection.kept_additions == 1
        kept = "one addition of maps stays as it is" if one else f"{inspection.kept_additions} additions of maps stay"
        return f"This network has no shortcut that can be removed; {kept}{'' if one else ' as they are'}."
    return "This network has no shortcuts, so there is nothing to remove."


def _about_peak(inspection: Inspection) -> str:
    size = _unit(inspection)
    peak, at = inspection.timeline.peak_bytes, inspection.timeline.peak_at
    plain_peak, plain_at = inspection.plain_timeline.peak_bytes, inspection.plain_timeline.peak_at
    if plain_peak < peak:
        moves = f"stays at {at}" if at == plain_at else f"moves from {at} to {plain_at}"
        return (
            f"Removal pays: peak live feature maps fall from {size.number(peak)} to {size.text(plain_peak)} "
            f"({peak / plain_peak:.2f}x). The peak {moves}."
        )
    crossed = any(plain_at in shortcut.held_during for shortcut in inspection.inventory)
    said = (
        f"Removing the shortcuts will not lower peak memory: {size.text(peak)} with and without; "
        f"the peak is at {plain_at}{'' if crossed else ', which no shortcut crosses'}."
    )
    blocks = _peak_in_blocks(inspection, inspection.timeline)
    plain_blocks = _peak_in_blocks(inspection, inspection.plain_timeline)
    if plain_blocks < blocks < peak:
        said += (
            f" Inside the blocks, the peak falls from {size.number(blocks)} to {size.text(plain_blocks)}: "
            "removal can pay together with a leaner net around them."
        )
    return said


def _about_mean(inspection: Inspection) -> str:
    size = _unit(inspection)
    return (
        "Averaged over the operations, live feature maps go from "
        f"{size.number(inspection.timeline.mean_bytes)} to {size.text(inspection.plain_timeline.mean_bytes)}; "
        f"together they read and write {size.text(inspection.plain_timeline.moved_bytes)} of feature maps in the place "
        f"of {size.number(inspection.timeline.moved_bytes)}."
    )


def _about_projections(inspection: Inspection) -> str:
    count = sum(shortcut.kind == "projection" for shortcut in inspection.inventory)
    if not count:
        return "Parameters and MACs stay as they are: no shortcut has a projection."
    parameters = inspection.parameters - inspection.plain_parameters
    macs = inspection.macs - inspection.plain_macs
    return (
        f"Without its {'projection' if count == 1 else f'{count} projections'}, the network has "
        f"{parameters:,} fewer parameters ({parameters / inspection.parameters:.1%}) and "
        f"{macs_text(macs)} fewer MACs ({macs / inspection.macs:.1%})."
    )


def _peak_in_blocks(inspection: Inspection, timeline: MemoryTimeline) -> int:
    """The largest live bytes inside the blocks that have, or had, a shortcut."""
    places = tuple(f"{shortcut.place}." for shortcut in inspection.inventory)
    return max(operation.live_bytes for operation in timeline.operations if operation.name.startswith(places))


def render(inspection: Inspection, console: Console) -> None:
    """Print an inspection: what the network is, its shortcuts, its memory with and without them, the verdict."""
    counts = f"{inspection.parameters:,} parameters, {macs_text(inspection.macs)} MACs"
    image = "x".join(map(str, inspection.input_shape))
    console.print(Text.assemble((inspection.name, "bold"), f": {counts}, image {image}"))
    console.print()
    if inspection.inventory:
        console.print(_shortcut_table(inspection))
        console.print()
    if inspection.kept_branches:
        console.print(Text(_about_kept_branches(inspection)))
        console.print()
    if inspection.unopened:
        console.print(_unopened_table(inspection.unopened))
        console.print()
    console.print(_memory_table(inspection, console))
    console.print(Text(f"({inspection.timeline.policy})", style="dim"))
    console.print()
    console.print(Text(verdict(inspection), style="bold"))
    console.print(Text("Accuracy and latency are not forecast: train, export and measure.", style="dim"))


def _about_kept_branches(inspection: Inspection) -> str:
    kept = inspection.kept_branches
    count = Counter(kept.values())
    first = {reason: next(place for place in kept if kept[place] == reason) for reason in count}
    listed = ", ".join(
        f"{number} x {reason} ({first[reason]}{', ..' if number > 1 else ''})" for reason, number in count.items()
    )
    additions = inspection.kept_additions
    counted = f" {additions} addition{'s' * (additions != 1)} of two maps in them." if additions else ""
    return f"Stays as it is: {listed}.{counted}"


def _unopened_table(unopened: Mapping[str, str]) -> Table:
    table = bare_table("not opened, with shortcuts or without")
    table.add_column("in the original", no_wrap=True)
    table.add_column("because", overflow="fold")
    for place, reason in unopened.items():
        table.add_row(place, reason)
    return table


def _shortcut_table(inspection: Inspection) -> Table:
    size = _unit(inspection)
    count = len(inspection.inventory)
    table = bare_table(
        f"{count} shortcut{'s' if count > 1 else ''}, {inspection.share:.0%} of all live feature-map bytes"
    )
    for column in ("block", "kind"):
        table.add_column(column, no_wrap=True)
    for column in (f"holds, {size.name}", "parameters", "MACs"):
        table.add_column(column, justify="right")
    table.add_column("in the original" if inspection.original_places else "while these run", overflow="fold")
    for shortcut in inspection.inventory:
        projects = shortcut.kind == "projection"
        original = inspection.original_places.get(shortcut.place)
        table.add_row(
            shortcut.place,
            shortcut.kind,
            size.number(shortcut.bytes_held),
            f"{shortcut.parameters:,}" if projects else "-",
            macs_text(shortcut.macs) if projects else "-",
            _span(shortcut) if original is None else original or "its own forward",
        )
    return table


def _memory_table(inspection: Inspection, console: Console) -> Table:
    """A bar for every part: dark what lives without shortcuts, light what they add."""
    size = _unit(inspection)
    table = bare_table(f"most live feature maps in each part, {size.name}")
    full, plain = _by_part(inspection.timeline), _by_part(inspection.plain_timeline)
    for column in ("part", "with", "without") if inspection.inventory else ("part", ""):
        table.add_column(column, justify="left" if column == "part" else "right")
    table.add_column("")
    width = max(10, min(console.width, 120) - max(map(len, full)) - 45)
    dark, light = ("#", "-") if console.options.ascii_only else ("█", "░")
    for part, most in full.items():
        without = min(most, plain[part])
        total, kept = (round(width * live / inspection.timeline.peak_bytes) for live in (most, without))
        bar = Text.assemble(dark * kept, (light * (total - kept), "yellow"), (_marks(inspection, part), "bold"))
        numbers = [most, plain[part]] if inspection.inventory else [most]
        table.add_row(part, *map(size.number, numbers), bar)
    return table


def _marks(inspection: Inspection, part: str) -> str:
    """What stands behind the bar of a part in which a peak lies."""
    peak = part == _part(inspection.timeline.peak_at)
    plain_peak = part == _part(inspection.plain_timeline.peak_at)
    if not inspection.inventory:
        return " peak" if peak else ""
    if peak and plain_peak:
        return " peak, with and without"
    return " peak" if peak else " peak without shortcuts" if plain_peak else ""


def _by_part(timeline: MemoryTimeline) -> dict[str, int]:
    """The largest live bytes in each block, and in each layer or part outside of blocks, in order."""
    return {
        part: max(operation.live_bytes for operation in operations)
        for part, operations in groupby(timeline.operations, lambda operation: _part(operation.name))
    }


def _part(operation: str) -> str:
    """``stage1.block2`` for what lies in a stage, ``stem`` or ``head`` for the rest."""
    names = operation.split(".")
    return ".".join(names[:2]) if names[0].startswith("stage") else names[0]


def _span(shortcut: Shortcut) -> str:
    """The operations during which a shortcut holds memory: ``relu1..add (3 ops)``."""
    inside = [name.removeprefix(f"{shortcut.place}.").removeprefix("body.") for name in shortcut.held_during]
    if len(inside) < 2:
        return inside[0] if inside else "-"
    return f"{inside[0]}..{inside[-1]} ({len(inside)} ops)"


def _name(net: StagedNet) -> str:
    return "network" if net.spec is None else str(net.spec)


def _unit(inspection: Inspection) -> Unit:
    return byte_unit([inspection.timeline.peak_bytes])
