"""The page and the picture of what removing shortcuts gives on devices, from the figures in devices.json.

`benchmarks/devices.py` computes the figures, which takes hours; `docs/generate.py` writes the page and the picture.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.patches import Rectangle

from unskip.report.svg import INK, MUTED, canvas, to_svg

HERE = Path(__file__).resolve().parent
LEAN, PLAIN = "with_lean_stem", "without_shortcuts"
TITLES = {"": "as it is", PLAIN: "plain", LEAN: "lean stem", f"{LEAN}+{PLAIN}": "lean stem, plain"}
MEASURES = {"cycles": "cycles", "sram": "SRAM"}

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
        """The networks that have been compiled with their shortcuts and without, large images first."""
        nets = self.data["nets"]
        known = [net for net in nets if any(self.cell(net, PLAIN, device) for device in self.names)]
        return sorted(known, key=lambda net: (-nets[net]["image"], _natural(short(net))))

    def cell(self, net: str, plan: str, device: str) -> Cell | None:
        """The figures, None where the compiler has not been asked or refused."""
        cell: Cell | None = self.data["nets"][net]["plans"].get(plan, {}).get(device)
        return cell

    def ratio(self, net: str, plan: str, device: str, measure: str) -> float | None:
        """How many times more the network as it is needs than with the plan."""
        before, after = self.cell(net, "", device), self.cell(net, plan, device)
        if not before or not after or not after[measure]:
            return None
        return float(before[measure] / after[measure])

    def plans(self, net: str, device: str) -> list[str]:
        """Those that the compiler was asked about, but for the network as it is."""
        return [plan for plan in self.data["nets"][net]["plans"] if plan and self.cell(net, plan, device)]

    def best(self, net: str, device: str) -> str:
        """The plan with the fewest cycles, the network as it is among them; of equals the first."""
        plans = ["", *self.plans(net, device)] if self.cell(net, "", device) else self.plans(net, device)
        return min(plans, key=lambda plan: (self.cell(net, plan, device) or {})["cycles"])


def short(net: str) -> str:
    """A network's name without its package."""
    return net.rpartition(":")[2]


def title(plan: str) -> str:
    """What a plan is called on the page."""
    if plan in TITLES:
        return TITLES[plan]
    stages = re.findall(r"stage\d+", plan)
    part = f"plain in {stages[0]}" + (f" to {stages[-1]}" if len(stages) > 1 else "")
    return f"lean stem, {part}" if plan.startswith(LEAN) else part


def device_title(about: Mapping[str, str]) -> str:
    """A device's name in a table: with what tells its configuration apart."""
    memory = re.search(r"(\d+)KB", about["memory_mode"])
    words = {"Sram_Only": "SRAM only", "Shared_Sram": f"for {about['optimise']}"}
    return f"{about['target']}, {f'{memory[1]} KiB' if memory else words[about['memory_mode']]}"


def _natural(text: str) -> list[Any]:
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", text) if part]


_CELL, _ROW, _GAP, _LABELS, _HEAD = 46, 26, 14, 128, 92  # pixels
_FASTER, _SLOWER, _EVEN = (0x3F, 0x96, 0xC8), (0xE0, 0x7A, 0x3F), (0xEC, 0xEC, 0xE8)
_FULL = math.log(2)  # a ratio of 2 has the full colour
_ON_COLOR = "#1b1f24"  # cells are light in dark schemes too

# What the page of a report says in its style sheet: the picture stands alone.
_STYLE = (
    "<style>svg{--ink:#1b1f24;--muted:#5c6570;font-family:system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e6e9ed;--muted:#9aa4b0}}</style>"
)


def picture() -> str:
    """A map of ratios, networks by devices, as an SVG: cycles of the plain network and of the best plan, SRAM."""
    devices = Devices.read()
    blocks: list[tuple[str, Mapping[tuple[str, str], float | None]]] = [
        ("Cycles, plain", _ratios(devices, "cycles", best=False)),
        ("Cycles, best plan", _ratios(devices, "cycles", best=True)),
        ("SRAM, plain", _ratios(devices, "sram", best=False)),
    ]
    columns = len(devices.names)
    width = _LABELS + len(blocks) * (columns * _CELL + _GAP)
    height = _HEAD + len(devices.nets) * _ROW + 8
    with canvas(width, height) as axes:
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        axes.set_position((0, 0, 1, 1))
        for row, net in enumerate(devices.nets):
            middle = _HEAD + (row + 0.5) * _ROW
            axes.text(_LABELS - 10, middle, short(net), ha="right", va="center", color=INK, fontsize=12)
        for number, (heading, ratios) in enumerate(blocks):
            left = _LABELS + number * (columns * _CELL + _GAP)
            axes.text(left, 14, heading, va="center", color=INK, fontsize=13, fontweight="bold")
            for column, device in enumerate(devices.names):
                words = device_title(devices.data["devices"][device]).removeprefix("ethos-").split(", ")
                for line, word in enumerate([words[0].upper(), *words[1].rsplit(" ", 1)]):
                    place = left + (column + 0.5) * _CELL, 36 + 15 * line
                    axes.text(*place, word, ha="center", va="center", color=MUTED, fontsize=10.5)
                for row, net in enumerate(devices.nets):
                    _draw_cell(axes, left + column * _CELL, _HEAD + row * _ROW, ratios[net, device])
        said = "Ratios of cycles and of SRAM, networks by devices; docs/devices.md has them as tables"
        drawing = str(to_svg(axes, "devices", said))
    head, _, inside = drawing.partition(">")
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return f"{head.replace('<svg', f'<svg {size}')}>{_STYLE}{inside}\n"


def _ratios(devices: Devices, measure: str, *, best: bool) -> dict[tuple[str, str], float | None]:
    return {
        (net, device): devices.ratio(net, devices.best(net, device) if best else PLAIN, device, measure)
        for net in devices.nets
        for device in devices.names
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


def page(note: str) -> str:
    """The whole page; ``note`` says what wrote it."""
    devices = Devices.read()
    return "\n".join([note, "", *_head(devices), *_tables(devices), *_signs(devices), REPORTS]) + "\n"


def _head(devices: Devices) -> Iterator[str]:
    versions = ", ".join(f"{package} {number}" for package, number in devices.data["versions"].items())
    yield from (
        "# Devices",
        "",
        "What removing the shortcuts gives on a device is decided by the device: by what stands in front of its memory, "
        "by what an addition costs there, and by how its compiler orders the work. So ask that compiler before training "
        "anything:",
        "",
        "```bash",
        "unskip bench resnet50 resnet50+without_shortcuts --target ethos-u65-256",
        "```",
        "",
        "All figures here are **estimates of Arm's compiler Vela** for one image in 8 bits, not measurements on a device. "
        "The weights are random ones; their values hardly matter to Vela, their number does. A ratio is the network as "
        "it is divided by the network with a plan's edits: 2.00x means half the cycles, or half the SRAM, and below 1 "
        "the plan makes it worse. `python benchmarks/devices.py FILE` computes them "
        f"({devices.data['date']}: {versions}); `unskip bench` gives the same ones, one row at a time.",
        "",
        "![Ratios of cycles and SRAM, networks by devices](devices.svg)",
        "",
        "Blue is a gain, orange a loss, and full colour a factor of two. What accuracy a plan costs is another question: "
        "[train it and measure](runs.md).",
        "",
        "## Where it pays, where not",
        "",
        "By cycles of the plain network; SRAM in brackets. *Same* is anything within 5 %.",
        "",
    )
    yield from _verdicts(devices)


def _verdicts(devices: Devices) -> Iterator[str]:
    yield "| device | faster | same | slower |"
    yield "|---|---|---|---|"
    for device in devices.names:
        groups: dict[str, list[str]] = {"faster": [], "same": [], "slower": []}
        for net in devices.nets:
            cycles, sram = (devices.ratio(net, PLAIN, device, measure) for measure in ("cycles", "sram"))
            if cycles is not None:
                group = "faster" if cycles > 1.05 else "slower" if cycles < 1 / 1.05 else "same"
                groups[group].append(f"{short(net)} {cycles:.2f}x ({sram:.2f}x)")
        yield f"| {device_title(devices.data['devices'][device])} | {' | '.join(map(', '.join, groups.values()))} |"


def _tables(devices: Devices) -> Iterator[str]:
    yield from ("", "## Every network on every device", "")
    yield (
        "Residual → plain. Maps are what is written to the DRAM and read from it. The best plan is the one with the fewest "
        "cycles of those that the compiler was asked about: the shortcuts removed in all stages or in the first ones, "
        "with the [lean stem](recipe.md#with_lean_stem) and without."
    )
    for device in devices.names:
        about = devices.data["devices"][device]
        yield from ("", f"### {device_title(about)}", "")
        yield (
            f"`--target {about['target']} --system-config {about['system_config']} --memory-mode {about['memory_mode']} "
            f"--optimise {about['optimise']}`"
        )
        with_dram = any((devices.cell(net, "", device) or {}).get("dram_maps") is not None for net in devices.nets)
        maps = " maps by DRAM, MB |" if with_dram else ""
        yield from ("", f"| network | image | Mcycles | SRAM, KiB |{maps} best plan | its Mcycles | its SRAM, KiB |")
        yield "|---" * (7 + with_dram) + "|"
        for net in devices.nets:
            if devices.cell(net, "", device) and devices.cell(net, PLAIN, device):
                yield _row(devices, net, device, with_dram)


def _row(devices: Devices, net: str, device: str, with_dram: bool) -> str:
    best = devices.best(net, device)
    columns = [
        f"`{net}`",
        str(devices.data["nets"][net]["image"]),
        _change(devices, net, PLAIN, device, "cycles", 1e6),
        _change(devices, net, PLAIN, device, "sram", 1024),
        *([_change(devices, net, PLAIN, device, "dram_maps", 1e6)] if with_dram else []),
        title(best),
        _change(devices, net, best, device, "cycles", 1e6, after_only=True) if best else "",
        _change(devices, net, best, device, "sram", 1024, after_only=True) if best else "",
    ]
    return f"| {' | '.join(columns)} |"


def _change(
    devices: Devices, net: str, plan: str, device: str, measure: str, unit: float, *, after_only: bool = False
) -> str:
    """``49.3 → 29.5 (1.67x)``."""
    before, after = ((devices.cell(net, each, device) or {})[measure] for each in ("", plan))
    ratio = devices.ratio(net, plan, device, measure)
    shown = f" ({ratio:.2f}x)" if ratio else ""
    return f"{'' if after_only else f'{_digits(before / unit)} → '}{_digits(after / unit)}{shown}"


def _digits(number: float) -> str:
    """Three digits that count."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _signs(devices: Devices) -> Iterator[str]:
    yield from ("", "## What makes the sign", "")


REPORTS = """
## Reports of others
"""
