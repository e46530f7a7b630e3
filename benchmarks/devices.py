"""What removing shortcuts gives on devices, by their compiler: the figures of docs/reference/devices.md.

    python benchmarks/devices.py devices.jsonl [--net NET ..] [--target TARGET ..]
    python benchmarks/devices.py devices.jsonl --write docs/devices.json

The first form compiles what `devices.jsonl` does not have yet and appends each answer as soon as it is known, so that
it can be stopped at any time; the second one sums up what is there for the page. The networks have random weights, as
those of `unskip bench NET NET+EDIT --target TARGET`, whose figures these are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from unskip.compare.targets import Target, find_targets
from unskip.dataflow import Cost, device_named, estimated_cost, inventory
from unskip.dataflow.cost import Optimise
from unskip.errors import UnskipError
from unskip.export import format_for_device, untrained_conversion
from unskip.export.formats.ethos_u import tosa_graph
from unskip.nets import find_net
from unskip.quiet import quiet
from unskip.records import Estimate, Layer
from unskip.runtimes import Configuration, Estimator, _vela, configured, find_runtime

# The most telling first.
NETS = (
    "resnet50",
    "resnet18",
    "resnet32",
    "resnet56",
    "resnet34",
    "resnet18-cifar",
    "resnet20",
    "wrn-16x4",
    "mobilenetv2",
    "torchvision:regnet_x_400mf",
    "torchvision:resnext50_32x4d",
    "timm:efficientnet_lite0",
)
DEVICES: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("ethos-u65-256", {"memory_mode": "Dedicated_Sram_384KB"}),
    ("ethos-u55-128", {"optimise": "speed"}),
    ("ethos-u55-128", {"optimise": "size"}),
    ("ethos-u55-256", {}),
    ("ethos-u65-512", {"memory_mode": "Dedicated_Sram_512KB"}),
    ("ethos-u85-256", {"memory_mode": "Sram_Only"}),
)
LEAN, PLAIN = "with_lean_stem", "without_shortcuts"
PLANS = ("", PLAIN, LEAN, f"{LEAN}+{PLAIN}")


@dataclass(frozen=True)
class Cell:
    """One network with the edits of a plan, as ``unskip bench`` takes them, on one device."""

    net: str
    plan: str
    device: Configuration

    @property
    def about(self) -> dict[str, Any]:
        """What a line says of it."""
        about = {"net": self.net, "plan": self.plan, "target": self.device.target}
        return {**about, "setting": dict(self.device.setting), "when": datetime.now(UTC).isoformat(timespec="seconds")}

    @property
    def key(self) -> str:
        """What no other cell has."""
        return f"{self.net} {self.plan} {self.device}"


@lru_cache(maxsize=16)
def network(net: str, plan: str) -> Target:
    """A network with random weights and the edits of a plan; `UnskipError` where one of them does not fit."""
    return find_targets(["+".join(filter(None, (net, plan)))])[0]


def forecast_of(target: Target, device: Configuration) -> Cost:
    """What the forecast says of a network on a device."""
    runtime = find_runtime(device.runtime)
    assert isinstance(runtime, Estimator)
    about = device_named(device.target, sram_bytes=runtime.sram_bytes(device))
    optimise: Optimise = "size" if device.setting["optimise"] == "size" else "speed"
    assert target.net is not None
    return estimated_cost(format_for_device(device).suited(target.net), target.input_shape, about, optimise=optimise)


def plan_by_stage(net: str, device: Configuration) -> str:
    """Of plans that remove the shortcuts of some stages, the best one by the forecast.

    Of up to four stages these are all combinations, of more the first ones and the last ones.
    """
    target = network(net, "")
    assert target.net is not None
    stages = list(dict.fromkeys(each.place.partition(".")[0] for each in inventory(target.net, target.input_shape)))
    counts = range(1, len(stages))
    if len(stages) <= 4:
        parts = [list(part) for count in counts for part in combinations(stages, count)]
    else:
        parts = [part for count in counts for part in (stages[:count], stages[count:])]
    plans = [f"{PLAIN}: {{only: [{', '.join(part)}]}}" for part in parts]
    return min(plans, key=lambda plan: forecast_of(network(net, plan), device).cycles)


def compute(lines: Path, nets: Sequence[str], devices: Sequence[Configuration]) -> None:
    """What is missing: forecasts, then compiled the plans for every network, then for each device the best by stage."""
    known = {key_of(line) for line in read(lines) if "forecast" in line}
    for cell in (Cell(net, plan, device) for net in nets for plan in PLANS[:2] for device in devices):
        if cell.key not in known:
            cycles = forecast_of(network(cell.net, cell.plan), cell.device).cycles
            append(lines, {**cell.about, "forecast": cycles})
    for plan in PLANS:
        for net in nets:
            compute_plan(lines, net, plan, devices)
    for net in nets:
        wanted: dict[str, list[Configuration]] = {}
        for device in devices:
            wanted.setdefault(plan_by_stage(net, device), []).append(device)
        for plan, asked in wanted.items():
            compute_plan(lines, net, plan, asked)


def compute_plan(lines: Path, net: str, plan: str, devices: Sequence[Configuration]) -> None:
    """Compile what is missing of a network with a plan."""
    # Others may be at work on the same file.
    known = {key_of(line) for line in read(lines) if "forecast" not in line}
    missing = [device for device in devices if Cell(net, plan, device).key not in known]
    for line in compiled(net, plan, missing):
        append(lines, line)


def append(lines: Path, line: Mapping[str, Any]) -> None:
    """Add a line."""
    with open(lines, "a") as file:
        file.write(json.dumps(line) + "\n")


def compiled(net: str, plan: str, devices: Sequence[Configuration]) -> Iterator[dict[str, Any]]:
    """The lines of one network with one plan: a graph for each family of devices, an answer for each device."""
    if not devices:
        return
    graphs: dict[bool, bytes] = {}
    for device in devices:
        line = Cell(net, plan, device).about
        started = time.perf_counter()
        try:
            target = network(net, plan)
            family = device.target.startswith("ethos-u85")  # U55 and U65 are given the same graph
            if family not in graphs:
                graphs[family] = graph_of(target, device)
            line["estimate"] = _vela.estimate(graphs[family], device).model_dump()
        except UnskipError as error:
            line["refused"] = str(error)
        line["seconds"] = round(time.perf_counter() - started, 1)
        print(f"{net} {plan} {device}: {line.get('refused') or line['estimate']['cycles']}", flush=True)
        yield line


def graph_of(target: Target, device: Configuration) -> bytes:
    """The graph that Vela is given for an untrained network, as `unskip.export` makes it."""
    assert target.net is not None
    assert target.net.spec is not None
    conversion = untrained_conversion(target.net.spec, target.input_shape, device)
    with quiet():
        return tosa_graph(conversion)


def read(lines: Path) -> list[dict[str, Any]]:
    """What is known."""
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.is_file() else []


def key_of(line: Mapping[str, Any]) -> str:
    return Cell(line["net"], line["plan"], configured(line["target"], line["setting"])).key


def summed_up(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the page needs: for every network, plan and device the figures, and what takes the cycles."""
    devices = {str(device): device for device in (configured(*each) for each in DEVICES)}
    estimates: dict[str, dict[str, dict[str, Estimate]]] = {}
    forecasts: dict[str, dict[str, dict[str, int]]] = {}
    refused: dict[str, dict[str, str]] = {}
    for line in lines:
        device = str(configured(line["target"], line["setting"]))
        if line["net"] in NETS and device in devices:
            plans = estimates.setdefault(line["net"], {}).setdefault(line["plan"], {})
            if "forecast" in line:
                forecasts.setdefault(line["net"], {}).setdefault(line["plan"], {})[device] = line["forecast"]
            elif "estimate" in line:
                plans[device] = Estimate.model_validate(line["estimate"])
            elif not line["refused"].startswith(LEAN):  # networks without a pool need no lean stem
                refused.setdefault(line["net"], {})[line["plan"]] = line["refused"]
    packages = ("ethos-u-vela", "executorch", "torch", "torchvision", "timm")
    return {
        "date": max(line["when"] for line in lines)[:10],
        "versions": {package: version(package) for package in packages},
        "devices": {name: {"target": device.target, **device.setting} for name, device in devices.items()},
        "nets": {
            net: {
                "image": find_net(net).image_size,
                "forecast": forecasts[net],
                "refused": refused.get(net, {}),
                "plans": {
                    plan: {
                        device: figures_of(estimate, plans[""].get(device)) for device, estimate in by_device.items()
                    }
                    for plan, by_device in plans.items()
                },
            }
            for net, plans in estimates.items()
            if "" in plans
        },
    }


def figures_of(estimate: Estimate, residual: Estimate | None) -> dict[str, Any]:
    """The figures of a cell.

    ``bound`` are the cycles of layers by what they wait for, ``additions`` their number and cycles, ``cascades`` the
    layers in each cascade, ``saved`` the cycles that the residual network needs more.
    """
    dram = estimate.traffic.get("dram")
    bound: Counter[str] = Counter()
    for layer in estimate.layers:
        bound[slowest(layer)] += layer.cycles
    additions = [layer.cycles for layer in estimate.layers if is_addition(layer)]
    cascades = Counter(layer.cascade for layer in estimate.layers if layer.cascade is not None)
    return {
        "cycles": estimate.cycles,
        "sram": estimate.memory_bytes.get("sram", 0),
        "dram_maps": None if dram is None else dram.feature_maps,
        "bound": dict(sorted(bound.items())),
        "additions": [len(additions), sum(additions)],
        "cascades": sorted(cascades.values(), reverse=True),
        "saved": None if residual is None else saved(residual, estimate),
    }


def saved(residual: Estimate, other: Estimate) -> dict[str, int]:
    """Cycles that the residual network needs more: for additions, for layers that only it has, for those of both.

    Layers are told apart by their MACs; of several with equal MACs, those that only one network has take their mean.
    """
    additions = [sum(layer.cycles for layer in each.layers if is_addition(layer)) for each in (residual, other)]
    with_macs = [[layer for layer in each.layers if layer.macs] for each in (residual, other)]
    counts = [Counter(layer.macs for layer in layers) for layers in with_macs]
    only = [0.0, 0.0]
    for place, (layers, count) in enumerate(zip(with_macs, counts, strict=True)):
        for macs, surplus in (count - counts[1 - place]).items():
            only[place] += surplus * mean(layer.cycles for layer in layers if layer.macs == macs)
    total = (residual.cycles or 0) - (other.cycles or 0)
    parts = {"additions": additions[0] - additions[1], "projections": round(only[0] - only[1])}
    return {**parts, "others": total - sum(parts.values())}


def is_addition(layer: Layer) -> bool:
    """Whether it adds two maps."""
    return layer.operation == "Add"


def slowest(layer: Layer) -> str:
    """What a layer waits for: computing, or a memory."""
    needs = {"compute": layer.compute_cycles, **layer.memory_cycles}
    return max(needs, key=lambda name: needs[name])


def as_text(data: Any, depth: int = 5) -> str:
    """JSON with a line for every cell."""
    if depth == 0 or not isinstance(data, dict) or not data:
        return json.dumps(data)
    pad = "\n" + " " * (6 - depth)
    inside = f",{pad}".join(f"{json.dumps(key)}: {as_text(value, depth - 1)}" for key, value in data.items())
    return f"{{{pad}{inside}\n{' ' * (5 - depth)}}}" + ("\n" if depth == 5 else "")


def main() -> None:
    """Compute, or write the data of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path)
    parser.add_argument("--net", nargs="+", default=NETS)
    parser.add_argument("--target", nargs="+", help="only these devices")
    parser.add_argument("--write", type=Path, metavar="FILE", help="compute nothing, write the data of the page")
    arguments = parser.parse_args()
    if arguments.write:
        arguments.write.write_text(as_text(summed_up(read(arguments.lines))))
        return
    torch.set_num_threads(1)
    devices = [configured(*each) for each in DEVICES if not arguments.target or each[0] in arguments.target]
    compute(arguments.lines, arguments.net, devices)


if __name__ == "__main__":
    main()
