"""How far the forecast of costs is from Arm's compiler, a line for every network without its shortcuts.

    python benchmarks/forecast_against_vela.py

reads what Vela said from `forecast_against_vela.json` beside this script. It also takes what `unskip bench` writes, in
which every network is compared with the first one:

    unskip bench resnet18 resnet18+without_shortcuts --target ethos-u65-256 --no-accuracy --json resnet18.json
    python benchmarks/forecast_against_vela.py resnet18.json

The forecast is right about the order where it has the two networks in the order in which Vela has them: by cycles on a
device that sends feature maps to a memory behind its SRAM, elsewhere by the SRAM. Figures of Vela that are within 1 %
of each other have no order. Networks of which the device leaves operations to the CPU are shown and not counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from unskip.dataflow import Cost, device_named
from unskip.dataflow.cost import cost_of
from unskip.dataflow.operations import Dataflow, trace
from unskip.recipe import parse_edits
from unskip.records.comparison import Comparison
from unskip.targets import resolve_net
from unskip.terminal import bare_table

_SAME = 0.01
_COLUMNS = ("<network", "<device", "<", "Mcycles, Vela", "", "forecast", "", "SRAM, KiB, Vela", "forecast", "<order")


@dataclass(frozen=True)
class Compiled:
    """What Vela says of a network, named as `unskip bench` takes it, on a device."""

    network: str
    target: str
    optimise: str
    sram_limit: int | None
    cycles: int
    sram_bytes: int
    traffic_bytes: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="what unskip bench --target wrote with --json")
    files = parser.parse_args().files
    compiled = [each for file in files for each in _of_bench(file)] if files else list(_kept())
    pairs = [
        (first, each)
        for first in compiled
        for each in compiled
        if each.network.startswith(f"{first.network}+")
        and _setting(first) == _setting(each)
        and "+" not in first.network
    ]
    rows = [_row(first, each) for first, each in pairs]
    console = Console(width=160)
    console.print(bare_table(None, _COLUMNS, rows))
    verdicts = [row[-1] for row in rows]
    counted = [verdict for verdict in verdicts if verdict in ("right", "wrong")]
    console.print(f"{counted.count('right')} of {len(counted)} in the right order")
    if "not counted" in verdicts:
        console.print("not counted: the device leaves operations to the CPU, which are in no figure")


def _setting(each: Compiled) -> tuple[Any, ...]:
    return (each.target, each.optimise, each.sram_limit)


def _row(first: Compiled, each: Compiled) -> Sequence[str]:
    costs = [_forecast(net) for net in (first, each)]
    spills = device_named(each.target).spills
    vela, own = ([net.cycles if spills else net.sram_bytes for net in nets] for nets in ((first, each), costs))
    if costs[1].left_out != costs[0].left_out:
        verdict = "not counted"
    elif abs(vela[0] - vela[1]) <= _SAME * vela[0]:
        verdict = "no order"
    else:
        verdict = "right" if (vela[0] > vela[1]) == (own[0] > own[1]) and own[0] != own[1] else "wrong"
    limit = "" if each.sram_limit in (None, 384 * 1024) else f", {each.sram_limit / 1024:.0f} KiB"
    return (
        each.network,
        f"{each.target}{limit}",
        each.optimise,
        _change([net.cycles / 1e6 for net in (first, each)], 2),
        f"{first.cycles / each.cycles:.2f}x",
        _change([cost.cycles / 1e6 for cost in costs], 2),
        f"{costs[0].cycles / costs[1].cycles:.2f}x",
        _change([net.sram_bytes / 1024 for net in (first, each)], 0),
        _change([cost.sram_bytes / 1024 for cost in costs], 0),
        verdict,
    )


def _change(values: Sequence[float], decimals: int) -> str:
    return " -> ".join(f"{value:.{decimals}f}" for value in values)


def _forecast(each: Compiled) -> Cost:
    device = device_named(each.target, sram_bytes=each.sram_limit)
    return cost_of(_traced(each.network), device, optimise=each.optimise)  # type: ignore[arg-type]


@cache
def _traced(network: str) -> Dataflow:
    name, *edits = network.split("+")
    return trace(*resolve_net(name, {}, parse_edits(edits)))


def _kept() -> Iterator[Compiled]:
    """The figures beside this script."""
    kept = json.loads(Path(__file__).with_suffix(".json").read_text())
    for each in kept["networks"]:
        yield Compiled(**each)


def _of_bench(file: Path) -> Iterator[Compiled]:
    """The networks by name in what `unskip bench` wrote."""
    comparison = Comparison.model_validate_json(file.read_bytes())
    for group in comparison.groups:
        for cell in group.cells:
            found = cell.estimate
            if found is not None and found.cycles is not None and comparison.subject(cell.subject).kind == "name":
                traffic = found.traffic["dram"].feature_maps if "dram" in found.traffic else 0
                sram = found.memory_bytes["sram"]
                aim, limit = found.setting["optimise"], found.sram_limit_bytes
                yield Compiled(cell.subject, found.target, aim, limit, found.cycles, sram, traffic)


if __name__ == "__main__":
    main()
