"""Latency of exported files, measured side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unskip.runtimes import Runtime, find_runtime

__all__ = ["Latency", "Speedup", "measure_latency", "speedup"]

MIN_SAMPLE_SECONDS = 1e-3
MIN_WARM_UP_CALLS, MAX_WARM_UP_CALLS = 5, 50


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one call with a whole batch: median, 10th and 90th percentile of ``repeats`` rounds.

    ``samples_ms`` holds one figure per round, in the order of the rounds. Files that were measured together
    share their rounds; compare those by :func:`speedup`.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runtime: str
    threads: int
    batch_size: int
    repeats: int
    samples_ms: tuple[float, ...]


@dataclass(frozen=True)
class Speedup:
    """How many times as fast: the median and the 10th and 90th percentile of the ratios within the rounds."""

    median: float
    low: float
    high: float


def measure_latency(
    files: Mapping[str, Path],
    input_shape: tuple[int, int, int],
    *,
    batch_size: int = 1,
    runtime: str = "onnxruntime",
    threads: int = 1,
    repeats: int = 50,
    seed: int = 0,
) -> dict[str, Latency]:
    """The latency of deployed files in one runtime on the CPU, under the names given.

    The files take turns in every round, each round starting with another one, so that a change in the
    machine's load or clock meets them all alike. ``input_shape`` is ``(channels, height, width)``; the images
    are random and the same for all. A sample is the mean over as many calls as it takes to last about a
    millisecond. Sessions run one call at a time on ``threads`` threads that do not spin. Raises `UnskipError`
    when a file cannot be loaded.
    """
    chosen = find_runtime(runtime)
    images = np.random.default_rng(seed).standard_normal((batch_size, *input_shape), dtype=np.float32)
    calls = {name: _call(chosen, path, images, threads) for name, path in files.items()}
    inner = {name: max(1, math.ceil(MIN_SAMPLE_SECONDS / _warm_up(call))) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(repeats):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            samples[name].append(1e3 * _seconds(calls[name], inner[name]))
    return {
        name: Latency(*_spread(times), chosen.version, threads, batch_size, repeats, tuple(times))
        for name, times in samples.items()
    }


def speedup(slower: Latency, faster: Latency) -> Speedup:
    """How many times as fast the second is, by the ratios within the rounds of one measurement."""
    if slower.repeats != faster.repeats:
        raise ValueError("latencies of one measurement have the same number of rounds; these have not")
    ratios = [a / b for a, b in zip(slower.samples_ms, faster.samples_ms, strict=True)]
    return Speedup(*_spread(ratios))


def _call(runtime: Runtime, path: Path, images: np.ndarray, threads: int) -> Callable[[], object]:
    return runtime.load(path, threads=threads).bound(images)


def _warm_up(call: Callable[[], object]) -> float:
    """Call until three calls in a row are within a tenth; the seconds of the fastest of them."""
    times: list[float] = []
    while len(times) < MAX_WARM_UP_CALLS:
        times.append(_seconds(call, 1))
        last = times[-3:]
        if len(times) >= MIN_WARM_UP_CALLS and max(last) < 1.1 * min(last):
            break
    return min(times[-3:])


def _seconds(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and the 10th and 90th percentile."""
    median, low, high = np.percentile(values, [50, 10, 90])
    return float(median), float(low), float(high)
