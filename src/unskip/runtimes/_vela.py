"""Arm's compiler Vela for the Ethos-U: its configurations, and what it estimates for a TOSA graph."""

from __future__ import annotations

import configparser
import csv
import hashlib
import importlib.resources
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from unskip.errors import UnskipError
from unskip.files import atomic_paths, cache_folder
from unskip.records import Estimate, Layer, Traffic
from unskip.runtimes._estimator import SRAM, Configuration

TARGETS = tuple(
    f"ethos-{family}-{macs}"
    for family, sizes in {
        "u55": (32, 64, 128, 256),
        "u65": (256, 512),
        "u85": (128, 256, 512, 1024, 2048),
    }.items()
    for macs in sizes
)
"""Devices as Vela names them: the number is that of 8-bit multiply-accumulates in a cycle."""

OPTIMISE = {"speed": "Performance", "size": "Size"}
CONFIGURATIONS = "Arm/vela.ini"
PATIENCE_SECONDS = 1800.0
_MEMORIES = {"sram": ("sram",), "dram": ("dram",), "flash": ("on_chip_flash", "off_chip_flash")}
_LAYER_MEMORIES = {"SRAM AC": "sram", "DRAM AC": "dram", "OnFlash AC": "flash", "OffFlash AC": "flash"}
_VERBOSE = ("--verbose-performance", "--verbose-schedule")  # what is read besides the summary
_KIB = 1024


@cache
def configurations() -> configparser.ConfigParser:
    """The file of system configurations and memory modes that Vela brings."""
    parser = configparser.ConfigParser(strict=False)
    parser.read_string(importlib.resources.files("ethosu").joinpath(f"config_files/{CONFIGURATIONS}").read_text())
    return parser


def described(kind: str) -> tuple[str, ...]:
    """The names of the system configurations (``System_Config``) or memory modes (``Memory_Mode``) that Vela brings."""
    return tuple(name.partition(".")[2] for name in configurations().sections() if name.startswith(f"{kind}."))


def cache_bytes(memory_mode: str) -> int | None:
    """The SRAM that a memory mode sets aside as a cache; None where it is none, or no size is named."""
    size = configurations().get(f"Memory_Mode.{memory_mode}", "arena_cache_size", fallback=None)
    return None if size is None else int(size)


def command(configuration: Configuration) -> list[str]:
    """Vela's options for a configuration, those for the graph and the folder aside."""
    setting = configuration.setting
    return [
        f"--accelerator-config={configuration.target}",
        f"--config={CONFIGURATIONS}",
        "--output-format=raw",
        f"--system-config={setting['system_config']}",
        f"--memory-mode={setting['memory_mode']}",
        *flags(configuration),
    ]


def flags(configuration: Configuration) -> list[str]:
    """The options that ExecuTorch does not give by itself."""
    setting = configuration.setting
    # The size of the cache where the SRAM is one; elsewhere what optimising for speed may use, if the network can.
    size = [f"--arena-cache-size={setting[SRAM]}"] if SRAM in setting else []
    return ["--optimise", OPTIMISE[setting["optimise"]], *size]


def estimate(graph: bytes, configuration: Configuration) -> Estimate:
    """What Vela estimates for a TOSA graph, from the cache where it was asked before.

    Raises `UnskipError` where Vela cannot place the graph, or ends before it is done.
    """
    from filelock import FileLock

    place = _cached(graph, configuration)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):  # of several that ask the same, one compiles
        if place.is_file():
            with suppress(ValidationError):  # a damaged one is asked for again
                return Estimate.model_validate_json(place.read_bytes())
        with tempfile.TemporaryDirectory(prefix="unskip-vela-") as folder:
            answer = _compiled(graph, configuration, Path(folder))
        with atomic_paths([place]) as (file,):
            file.write_text(answer.model_dump_json())
    return answer


def _cached(graph: bytes, configuration: Configuration) -> Path:
    """Where the estimate of a graph is kept."""
    asked = json.dumps([version("ethos-u-vela"), *command(configuration), *_VERBOSE])
    key = hashlib.sha256(asked.encode() + b"\0" + graph).hexdigest()
    return cache_folder() / "vela" / f"{key}.json"


def _compiled(graph: bytes, configuration: Configuration, folder: Path) -> Estimate:
    source = folder / "graph.tosa"
    source.write_bytes(graph)
    # In a process of its own: Vela keeps state, prints, and can be killed without ending this one.
    call = [sys.executable, "-P", "-m", "ethosu.vela", str(source), *command(configuration)]
    try:
        process = subprocess.run(
            [*call, *_VERBOSE, f"--output-dir={folder}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UnskipError(
            f"Vela gives no answer for {configuration} within {PATIENCE_SECONDS / 60:g} minutes"
        ) from None
    summaries = list(folder.glob("*_summary_*.csv"))
    if process.returncode or not summaries:
        raise UnskipError(f"Vela {_ending(process)} for {configuration}")
    return read_estimate(folder, configuration, process.stdout)


def _ending(process: subprocess.CompletedProcess[str]) -> str:
    """How it ended, and its last words."""
    if process.returncode < 0:
        return f"was killed by {signal.Signals(-process.returncode).name}"
    messages = [line for line in (process.stdout + process.stderr).splitlines() if line.strip()]
    error = [line for line in messages if "error" in line.lower()]
    return f"cannot place this network ({(error or messages or ['it says nothing'])[-1].strip()})"


def read_estimate(folder: Path, configuration: Configuration, schedule: str = "") -> Estimate:
    """What Vela wrote into a folder: ``*_summary_*.csv`` and ``*_per-layer.csv``; ``schedule`` is what it printed."""
    (summary_file,) = folder.glob("*_summary_*.csv")
    with open(summary_file, newline="") as file:
        (summary,) = csv.DictReader(file)
    layers = tuple(_layers(next(folder.glob("*_per-layer.csv")), schedule))
    used = {
        memory: sum(round(_KIB * float(summary[f"{name}_memory_used"])) for name in names)
        for memory, names in _MEMORIES.items()
    }
    # Without DRAM or flash in the configuration, weights lie where the feature maps do.
    return Estimate(
        by=f"Vela {version('ethos-u-vela')}",
        target=configuration.target,
        setting=dict(configuration.setting),
        clock_hz=float(summary["core_clock"]),
        cycles=int(summary["cycles_total"]),
        memory_bytes={memory: size for memory, size in used.items() if size},
        sram_limit_bytes=_limit(summary),
        traffic={memory: _traffic(summary, names) for memory, names in _MEMORIES.items() if used[memory]},
        operations=len(layers),
        fallback=tuple(layer.operation for layer in layers if layer.name.startswith("CPU ")),
        layers=layers,
    )


def _limit(summary: Mapping[str, str]) -> int | None:
    """The SRAM that the memory mode sets aside; modes that name no size let Vela use what the device can address."""
    size = round(float(summary["arena_cache_size"]) * _KIB)
    return size if "Dedicated" in summary["memory_mode"] else None


def _traffic(summary: Mapping[str, str], memories: tuple[str, ...]) -> Traffic:
    def total(direction: str) -> int:
        return sum(round(float(summary[f"{name}_{direction}_bytes"])) for name in memories)

    return Traffic(
        feature_maps_read=total("feature_map_read"),
        feature_maps_written=total("feature_map_write"),
        weights_read=total("weight_read"),
        weights_written=total("weight_write"),
    )


def _layers(file: Path, schedule: str) -> Iterator[Layer]:
    with open(file, newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, cascade in zip(rows, _cascades(rows, schedule), strict=True):
        memory: dict[str, int] = {}
        for column, name in _LAYER_MEMORIES.items():
            cycles = int(float(row[column]))
            if cycles:
                memory[name] = memory.get(name, 0) + cycles
        yield Layer(
            operation=row["NNG Operator"],
            name=row["Name"] if row["Target"] == "NPU" else f"CPU {row['Name']}",
            cycles=int(float(row["Op Cycles"])),
            compute_cycles=int(float(row["NPU"])),
            memory_cycles=memory,
            macs=int(float(row["MAC Count"])),
            sram_bytes=int(float(row["Staging Usage"])),
            cascade=cascade or None,
        )


def _cascades(rows: Sequence[Mapping[str, str]], schedule: str) -> list[int]:
    """The cascade of each row, 0 for none: rows that are fused into the one before are in its cascade."""
    scheduled = re.findall(r"^\s*\d+: Operation (\w+) .*?Assigned Cascade = (\d+)", schedule, re.MULTILINE | re.DOTALL)
    unread, cascades = deque(scheduled), [0]
    for row in rows:
        if unread and row["NNG Operator"] == unread[0][0]:
            cascades.append(int(unread.popleft()[1]))
        else:
            cascades.append(cascades[-1])
    return [0] * len(rows) if unread else cascades[1:]  # a schedule of another form, or of none of these
