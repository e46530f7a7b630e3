"""The page and the picture of what removing shortcuts gives on devices, from the figures in devices.json.

`benchmarks/devices.py` computes the figures, which takes hours; `docs/generate.py` writes the page and the picture.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.patches import Rectangle

from unskip.report.svg import INK, MUTED, canvas, standalone, to_svg

HERE = Path(__file__).resolve().parent
LEAN, PLAIN = "with_lean_stem", "without_shortcuts"
TITLES = {"": "as it is", PLAIN: "plain", LEAN: "lean stem", f"{LEAN}+{PLAIN}": "lean stem, plain"}
U65, SPEED, SIZE, U85 = (
    "ethos-u65-256, 384 KiB",
    "ethos-u55-128, for speed",
    "ethos-u55-128, for size",
    "ethos-u85-256, SRAM only",
)

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Devices:
    """The figures: of networks, with the edits of a plan, on devices in a configuration."""

    data: Mapping[str, Any]

    @classmethod
    def read(cls) -> Devices:
        """Those beside this file."""
        return cls(json.loads((HERE / "devices.json").read_text()))

    @cached_property
    def names(self) -> list[str]:
        """The devices."""
        return list(self.data["devices"])

    @cached_property
    def nets(self) -> list[str]:
        """The networks, large images first."""
        return sorted(self.data["nets"], key=lambda net: (-self.data["nets"][net]["image"], _natural(short(net))))

    def cell(self, net: str, plan: str, device: str) -> Cell | None:
        """The figures, None where the compiler has not been asked or refused."""
        cell: Cell | None = self.data["nets"][net]["plans"].get(plan, {}).get(device)
        return cell

    def title(self, device: str) -> str:
        """A device's name in a table: with what tells its configuration apart."""
        about = self.data["devices"][device]
        memory = re.search(r"(\d+)KB", about["memory_mode"])
        words = {"Sram_Only": "SRAM only", "Shared_Sram": f"for {about['optimise']}"}
        return f"{about['target']}, {f'{memory[1]} KiB' if memory else words[about['memory_mode']]}"

    def named(self, title: str) -> str:
        """The device of a title."""
        return next(device for device in self.names if self.title(device) == title)

    def compiled(self, device: str) -> list[str]:
        """The networks that have been compiled for a device with their shortcuts and without."""
        return [net for net in self.nets if self.ratio(net, PLAIN, device, "cycles")]

    def pair(self, net: str, title: str) -> tuple[Cell, Cell]:
        """The figures of a network as it is, and plain, on the device of a title."""
        plans, device = self.data["nets"][net]["plans"], self.named(title)
        return plans[""][device], plans[PLAIN][device]

    def ratio(self, net: str, plan: str, device: str, measure: str) -> float | None:
        """How many times more the network as it is needs than with the plan."""
        before, after = self.cell(net, "", device), self.cell(net, plan, device)
        if not before or not after or not before[measure] or not after[measure]:
            return None
        return float(before[measure] / after[measure])

    def plans(self, net: str, device: str) -> list[str]:
        """Those that the compiler was asked about, but for the network as it is."""
        return [plan for plan in self.data["nets"][net]["plans"] if plan and self.cell(net, plan, device)]

    def best(self, net: str, device: str) -> str:
        """The plan with the fewest cycles, the network as it is among them; of equals the first."""
        return min(
            ["", *self.plans(net, device)], key=lambda plan: self.data["nets"][net]["plans"][plan][device]["cycles"]
        )


def short(net: str) -> str:
    """A network's name without its package."""
    return net.rpartition(":")[2]


def title(plan: str) -> str:
    """What a plan is called on the page."""
    if plan in TITLES:
        return TITLES[plan]
    part = f"plain in {', '.join(re.findall(r'stage[0-9]+', plan))}"
    return f"lean stem, {part}" if plan.startswith(LEAN) else part


def _natural(text: str) -> list[Any]:
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", text) if part]


_CELL, _ROW, _GAP, _LABELS, _HEAD, _BREAK = 46, 26, 14, 128, 80, 8  # pixels
_FASTER, _SLOWER, _EVEN = (0x3F, 0x96, 0xC8), (0xE0, 0x7A, 0x3F), (0xEC, 0xEC, 0xE8)
_FULL = math.log(2)  # a ratio of 2 has the full colour
_ON_COLOR = "#1b1f24"  # cells are light in dark schemes too


def devices_picture() -> str:
    """A map of ratios, networks by devices, as an SVG: cycles of the plain network and of the best plan, SRAM."""
    devices = Devices.read()
    blocks: list[tuple[str, Mapping[tuple[str, str], float | None]]] = [
        ("Cycles, plain", _ratios(devices, "cycles", best=False)),
        ("Cycles, best plan", _ratios(devices, "cycles", best=True)),
        ("SRAM, plain", _ratios(devices, "sram", best=False)),
    ]
    columns = len(devices.names)
    width = _LABELS + len(blocks) * (columns * _CELL + _GAP)
    height = _HEAD + len(devices.nets) * _ROW + _BREAK
    with canvas(width, height) as axes:
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        axes.set_position((0, 0, 1, 1))
        tops = {net: _HEAD + row * _ROW + _BREAK * _is_small(devices, net) for row, net in enumerate(devices.nets)}
        for net, top in tops.items():
            middle = top + 0.5 * _ROW
            axes.text(_LABELS - 10, middle, short(net), ha="right", va="center", color=INK, fontsize=12)
        for number, (heading, ratios) in enumerate(blocks):
            left = _LABELS + number * (columns * _CELL + _GAP)
            axes.text(left, 14, heading, va="center", color=INK, fontsize=13, fontweight="bold")
            for column, device in enumerate(devices.names):
                for line, word in enumerate(_heading(devices.title(device))):
                    place = left + (column + 0.5) * _CELL, 36 + 15 * line
                    axes.text(*place, word, ha="center", va="center", color=MUTED, fontsize=10.5)
                for net, top in tops.items():
                    _draw_cell(axes, left + column * _CELL, top, ratios.get((net, device)))
        said = "Ratios of cycles and of SRAM, networks by devices; docs/reference/devices.md has them as tables"
        return standalone(to_svg(axes, "devices", said))


def _is_small(devices: Devices, net: str) -> bool:
    """Whether it is for small images, which are drawn apart."""
    return bool(devices.data["nets"][net]["image"] < 224)


def _heading(title: str) -> list[str]:
    """``U65``, ``256``, ``384 KiB``."""
    name, what = title.removeprefix("ethos-").split(", ")
    family, _, macs = name.upper().partition("-")
    return [family, macs, what.removeprefix("for ").removesuffix(" only")]


def _ratios(devices: Devices, measure: str, *, best: bool) -> dict[tuple[str, str], float | None]:
    return {
        (net, device): devices.ratio(net, devices.best(net, device) if best else PLAIN, device, measure)
        for device in devices.names
        for net in devices.compiled(device)
    }


def _draw_cell(axes: Any, left: float, top: float, ratio: float | None) -> None:
    if ratio is None:
        return
    share = max(-1.0, min(1.0, math.log(ratio) / _FULL))
    full = _FASTER if share > 0 else _SLOWER
    color = [round(even + abs(share) * (end - even)) / 255 for even, end in zip(_EVEN, full, strict=True)]
    axes.add_patch(Rectangle((left + 1, top + 1), _CELL - 2, _ROW - 2, facecolor=color, linewidth=0))
    place = left + _CELL / 2, top + _ROW / 2
    axes.text(*place, f"{ratio:.2f}", ha="center", va="center", color=_ON_COLOR, fontsize=11.5)


def devices_page(note: str) -> str:
    """The whole page; ``note`` says what wrote it."""
    devices = Devices.read()
    template = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return template.from_string((HERE / "devices.md.j2").read_text()).render(
        note=note,
        date=devices.data["date"],
        versions=", ".join(f"{package} {number}" for package, number in devices.data["versions"].items()),
        verdicts=_verdicts(devices),
        saved=[_saved(devices, place) for place in (U65, SPEED, SIZE, U85)],
        signs=list(_signs(devices)),
        tables=[_table(devices, device) for device in devices.names],
        refused=list(_refused(devices)),
    )


@dataclass(frozen=True)
class Table:
    """Rows of Markdown under a title; ``command`` has the options that give them."""

    title: str
    rows: str
    command: str = ""


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, column by column."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))


def _verdicts(devices: Devices) -> str:
    rows = []
    for device in devices.names:
        groups: dict[str, list[str]] = {"faster": [], "same": [], "slower": []}
        for net in devices.nets:
            cycles, sram = (devices.ratio(net, PLAIN, device, measure) for measure in ("cycles", "sram"))
            if cycles is not None:
                group = "faster" if cycles > 1.05 else "slower" if cycles < 1 / 1.05 else "same"
                groups[group].append(f"{short(net)} {cycles:.2f}x ({sram:.2f}x)")
        rows.append([devices.title(device), *map(", ".join, groups.values())])
    return _markdown(["device", "faster", "same", "slower"], rows)


def _saved(devices: Devices, place: str) -> Table:
    """What the cycles that a plain network saves were spent on, on the device of a title."""
    rows = []
    for net in devices.compiled(devices.named(place)):
        before, after = devices.pair(net, place)
        parts = after["saved"]
        row = [f"`{net}`", *(_digits(cycles / 1e6) for cycles in (sum(parts.values()), *parts.values()))]
        row += [f"{_digits(waiting(each) / 1e6)}" for each in (before, after)]
        rows.append([*row, f"{_longest(before)} → {_longest(after)}"])
    columns = ["network", "saved", "additions", "projections", "other layers", "waiting", "plain", "longest cascade"]
    return Table(place, _markdown(columns, rows))


def waiting(cell: Cell) -> int:
    """The cycles of layers that wait for a memory."""
    return sum(cycles for what, cycles in cell["bound"].items() if what != "compute")


def _signs(devices: Devices) -> Iterator[str]:
    """What makes a plan faster or slower, each sentence with the figures that show it."""
    before, after = devices.pair("resnet32", SPEED)
    parts, u85 = after["saved"], devices.named(U85)
    yield (
        f"**Additions.** On a U55 and a U65 an addition is an operation of its own. The {before['additions'][0]} of "
        f"resnet32 take {_mega(before['additions'][1])} of {_mega(before['cycles'])} Mcycles ({SPEED}), "
        f"{parts['additions'] / sum(parts.values()):.0%} of what the plain network saves. A U85 adds while the "
        f"convolution in front writes its map, at no cycles: "
        f"{devices.ratio('resnet32', PLAIN, u85, 'cycles'):.2f}x. What is left to gain there is the SRAM of the map "
        f"that waits, {devices.ratio('resnet32', PLAIN, u85, 'sram'):.2f}x less."
    )
    before, after = devices.pair("resnet50", U65)
    parts = after["saved"]
    yield (
        f"**Traffic.** Where a small SRAM stands in front of a DRAM, most layers wait for it. Of the "
        f"{_mega(sum(parts.values()))} Mcycles that resnet50 saves ({U65}), {_mega(parts['additions'])} are "
        f"additions, which read two maps and write one, {_mega(parts['projections'])} projections, and "
        f"{_mega(parts['others'])} layers of both that wait less: {_mega(before['dram_maps'])} MB of maps to and from "
        f"the DRAM become {_mega(after['dram_maps'])}."
    )
    before, after = devices.pair("resnet18", U65)
    parts = after["saved"]
    yield (
        f"**Cascades.** In a cascade, layers are computed in stripes, so that the maps between them never exist whole. "
        f"Vela ends one where a map has two readers, as the input of every residual block has. In resnet18 ({U65}) the "
        f"longest has {_longest(before)} layers with shortcuts and {_longest(after)} without. That need not be a gain: "
        f"additions and projections save {_mega(parts['additions'] + parts['projections'])} Mcycles, the other layers "
        f"take {_mega(-parts['others'])} more, and {_mega(before['dram_maps'])} MB of maps become "
        f"{_mega(after['dram_maps'])}: {devices.ratio('resnet18', PLAIN, devices.named(U65), 'cycles'):.2f}x."
    )
    before, after = devices.pair("resnet32", SIZE)
    _, shorter = devices.pair("resnet20", SIZE)
    size = devices.named(SIZE)
    yield (
        f"**Weights.** For size, Vela makes cascades wherever that spares SRAM, and each stripe reads the weights from "
        f"the flash anew. resnet32 has {len(before['cascades'])} cascades with shortcuts and {len(after['cascades'])} "
        f"without; its layers wait {_mega(waiting(before))} Mcycles with and {_mega(waiting(after))} without: "
        f"{devices.ratio('resnet32', PLAIN, size, 'cycles'):.2f}x. In the plain resnet20 there is one of "
        f"{_longest(shorter)} layers, and what these read again takes all that the additions saved: "
        f"{devices.ratio('resnet20', PLAIN, size, 'cycles'):.2f}x."
    )


def _longest(cell: Cell) -> int:
    """The layers of the longest cascade."""
    return max(cell["cascades"], default=0)


def _mega(count: float) -> str:
    return _digits(count / 1e6)


def _table(devices: Devices, device: str) -> Table:
    about = devices.data["devices"][device]
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in about.items())
    dram = any((devices.cell(net, "", device) or {}).get("dram_maps") is not None for net in devices.nets)
    columns = [
        "network",
        "image",
        "Mcycles",
        "forecast",
        "SRAM, KiB",
        *["maps, MB"] * dram,
        "best plan",
        "Mcycles",
        "SRAM, KiB",
    ]
    rows = (_row(devices, net, device, dram) for net in devices.nets)
    return Table(devices.title(device), _markdown(columns, rows), options)


def _row(devices: Devices, net: str, device: str, dram: bool) -> list[str]:
    forecasts = devices.data["nets"][net]["forecast"]
    forecast = f"{forecasts[''][device] / forecasts[PLAIN][device]:.2f}x"
    about = [f"`{net}`", str(devices.data["nets"][net]["image"])]
    if net not in devices.compiled(device):
        return [*about, "", forecast, *[""] * (4 + dram)]
    best = devices.best(net, device)
    return [
        *about,
        _change(devices, net, PLAIN, device, "cycles", 1e6),
        forecast,
        _change(devices, net, PLAIN, device, "sram", 1024),
        *([_change(devices, net, PLAIN, device, "dram_maps", 1e6)] if dram else []),
        title(best),
        *(_reached(devices, net, best, device, *each) if best else "" for each in (("cycles", 1e6), ("sram", 1024))),
    ]


def _change(devices: Devices, net: str, plan: str, device: str, measure: str, unit: float) -> str:
    """``49.3 → 29.5 (1.67x)``."""
    before = devices.data["nets"][net]["plans"][""][device][measure]
    return f"{_digits(before / unit)} → {_reached(devices, net, plan, device, measure, unit)}"


def _reached(devices: Devices, net: str, plan: str, device: str, measure: str, unit: float) -> str:
    after, ratio = devices.data["nets"][net]["plans"][plan][device][measure], devices.ratio(net, plan, device, measure)
    return f"{_digits(after / unit)} ({ratio:.2f}x)" if ratio else _digits(after / unit)


def _digits(number: float) -> str:
    """Three digits that count."""
    return f"{number:.0f}" if abs(number) >= 99.95 or not number else f"{number:#.3g}"


def _refused(devices: Devices) -> Iterator[str]:
    """Each reason once, with the networks and plans that it stopped."""
    reasons: dict[str, list[str]] = {}
    for net, about in devices.data["nets"].items():
        for plan, reason in about["refused"].items():
            reasons.setdefault(reason, []).append(f"`{net}` {title(plan)}")
    for reason, stopped in reasons.items():
        yield f"{', '.join(stopped)}: {reason}"
