"""Latency and memory of deployed files, measured side by side in processes of their own."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unskip.errors import UnskipError
from unskip.measure.processes import Job, Rounds, take_turns

__all__ = ["Latency", "Measurement", "Speedup", "measure_files", "measure_latency", "speedup"]

REPEATS, PROCESSES = 50, 3


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one call with a whole batch: median, 10th and 90th percentile of ``repeats`` rounds.

    ``samples_ms`` holds one figure per round, in the order of the rounds, which ``processes`` processes have shared.
    Files that were measured together share their rounds; compare those by :func:`speedup`.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runtime: str
    threads: int
    batch_size: int
    repeats: int
    samples_ms: tuple[float, ...]
    processes: int
    device: str

    @property
    def images_per_second(self) -> float:
        """Throughput at the median."""
        return 1e3 * self.batch_size / self.median_ms


@dataclass(frozen=True)
class Speedup:
    """How many times as fast: the median and the 10th and 90th percentile of the ratios within the rounds."""

    median: float
    low: float
    high: float

    @property
    def shows_difference(self) -> bool:
        """Whether 1 lies outside of the spread."""
        return not self.low <= 1 <= self.high


@dataclass(frozen=True)
class Measurement:
    """What was measured of one file.

    ``resident_rise_bytes`` is by how much the highest resident memory of its process rose while it was loaded and run:
    weights, feature maps and the runtime's own buffers. ``device_peak_bytes`` is the most that its process held on the
    device, weights included. Both are medians over the processes, None where nobody tells.
    """

    latency: Latency
    resident_rise_bytes: int | None
    device_peak_bytes: int | None


def measure_files(
    jobs: Mapping[str, Job], *, repeats: int = REPEATS, processes: int = PROCESSES
) -> dict[str, Measurement | UnskipError]:
    """Measure files side by side, under the names given; what could not be run has its `UnskipError` in its place.

    Every file runs in ``processes`` fresh processes, one after the other, which are warmed up until their times are
    steady. In every one of the ``repeats`` rounds the files take turns, each round starting with another one, so that a
    change in the machine's load or clock meets them all alike. A sample is the mean over as many calls as it takes to
    last five milliseconds, after two that do not count. Threads that wait do not spin, where the runtime allows it.
    """
    if repeats < 1 or processes < 1:
        raise UnskipError(f"a measurement takes at least one round and one process, not {repeats} and {processes}")
    rounds = take_turns(jobs, repeats=repeats, processes=processes)
    return {name: found.error or _measurement(jobs[name], found, processes) for name, found in rounds.items()}


def measure_latency(
    files: Mapping[str, Path],
    input_shape: tuple[int, int, int],
    *,
    batch_size: int = 1,
    runtime: str = "onnxruntime",
    threads: int = 1,
    repeats: int = REPEATS,
    processes: int = PROCESSES,
    device: str = "cpu",
    seed: int = 0,
) -> dict[str, Latency]:
    """The latency of deployed files in one runtime, under the names given; see :func:`measure_files`.

    ``input_shape`` is ``(channels, height, width)``; the images are random and the same for all. Raises the
    `UnskipError` of the first file that cannot be loaded or run.
    """
    jobs = {
        name: Job(str(path), runtime, input_shape, threads, batch_size, device, seed) for name, path in files.items()
    }
    latencies = {}
    for name, found in measure_files(jobs, repeats=repeats, processes=processes).items():
        if isinstance(found, UnskipError):
            raise found
        latencies[name] = found.latency
    return latencies


def speedup(slower: Latency, faster: Latency) -> Speedup:
    """How many times as fast the second is, by the ratios within the rounds of one measurement."""
    if slower.repeats != faster.repeats:
        raise ValueError("latencies of one measurement have the same number of rounds; these have not")
    ratios = [a / b for a, b in zip(slower.samples_ms, faster.samples_ms, strict=True)]
    return Speedup(*_spread(ratios))


def _measurement(job: Job, rounds: Rounds, processes: int) -> Measurement:
    times = tuple(rounds.samples_ms)
    repeats = len(times)
    processes = min(processes, repeats)
    return Measurement(
        Latency(*_spread(times), rounds.runtime, job.threads, job.batch_size, repeats, times, processes, job.device),
        _typical(rounds.resident_rise_bytes),
        _typical(rounds.device_peak_bytes),
    )


def _typical(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return round(statistics.median(known)) if known else None


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and the 10th and 90th percentile."""
    median, low, high = np.percentile(values, [50, 10, 90])
    return float(median), float(low), float(high)
