"""A process that runs one deployed file when it is told to, and says how long it took.

``python -m unskip.runtimes._worker`` reads one JSON object a line from its standard input: first the `Job`, then the
commands ``warm_up``, ``sample`` and ``memory``. It answers each with one line on its standard output and ends with its
input, so that it never outlives who started it. What runtimes print goes to standard error.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unskip.errors import UnskipError, first_line
from unskip.processes import answering, questions
from unskip.runtimes import Program, find_runtime

WARM_UP_CALLS = 3  # at least
WARM_UP_SECONDS = 0.05, 5.0  # at least, at most
SAMPLE_SECONDS = 5e-3  # a sample is the mean over as many calls as last this long
WAKE_UP_SECONDS = 2e-3  # of calls before a sample that do not count: the other processes have used the caches
LONG_CALL_SECONDS = 2e-2  # calls for which the caches no longer matter


@dataclass(frozen=True)
class Job:
    """One file to be run: ``input_shape`` is (channels, height, width), images are random, a function of ``seed``."""

    path: str
    runtime: str
    input_shape: tuple[int, int, int]
    threads: int = 1
    batch_size: int = 1
    device: str = "cpu"
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        """The job that :meth:`to_json` wrote."""
        channels, height, width = data["input_shape"]
        return cls(**data | {"input_shape": (channels, height, width)})


class _Running:
    """A job's file, loaded."""

    def __init__(self, job: Job) -> None:
        runtime = find_runtime(job.runtime)
        runtime.import_libraries()  # what the library itself takes does not count
        self.version = runtime.version
        self._before = highest_resident_bytes(reset=True)
        self._program = runtime.load(Path(job.path), threads=job.threads, device=job.device)
        _check(self._program, job)
        images = np.random.default_rng(job.seed).standard_normal((job.batch_size, *job.input_shape), dtype=np.float32)
        self._call = self._program.bound(images)
        self._calls = 1
        self._seconds = math.inf

    def warm_up(self) -> dict[str, Any]:
        """Call until three calls in a row are within a tenth."""
        times: list[float] = []
        started = time.perf_counter()
        shortest, longest = WARM_UP_SECONDS
        while True:
            times.append(_timed(self._call, 1))
            last, passed = times[-WARM_UP_CALLS:], time.perf_counter() - started
            steady = len(last) == WARM_UP_CALLS and max(last) < 1.1 * min(last)
            if (steady and passed > shortest) or passed > longest:
                break
        self._seconds = min(last)
        self._calls = max(1, math.ceil(SAMPLE_SECONDS / self._seconds))
        return {"calls": len(times)}

    def sample(self) -> dict[str, Any]:
        """Milliseconds of one call."""
        if self._seconds < LONG_CALL_SECONDS:
            _timed(self._call, max(1, math.ceil(WAKE_UP_SECONDS / self._seconds)))
        return {"ms": 1e3 * _timed(self._call, self._calls)}

    def memory(self) -> dict[str, Any]:
        """Bytes by which the highest resident memory rose, and the most that a device held; None where unknown."""
        now = highest_resident_bytes()
        rise = None if now is None or self._before is None else max(0, now - self._before)
        return {"resident_rise_bytes": rise, "device_peak_bytes": self._program.device_peak_bytes()}


def highest_resident_bytes(*, reset: bool = False) -> int | None:
    """The most memory that this process has held resident, since its start or since the last reset.

    A reset needs Linux; elsewhere the mark stays. None where the system does not tell.
    """
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): set the mark to what is resident now
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _check(program: Program, job: Job) -> None:
    if program.batch_size not in (None, job.batch_size):
        raise UnskipError(f"{job.path} takes batches of {program.batch_size}, not of {job.batch_size}")
    if program.input_shape not in (None, job.input_shape):
        raise UnskipError(f"{job.path} takes images of {program.input_shape}, not of {job.input_shape}")


def _timed(call: Callable[[], object], calls: int) -> float:
    """Seconds that one of several calls takes on average."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _answers(messages: Iterator[Any]) -> Iterator[dict[str, Any]]:
    job = Job.from_json(next(messages))
    try:
        running = _Running(job)
        yield {"version": running.version}
        known = {"warm_up": running.warm_up, "sample": running.sample, "memory": running.memory}
        for message in messages:
            yield known[message]()
    except UnskipError as error:
        yield {"error": str(error)}
    except Exception as error:  # each runtime fails in ways of its own
        yield {"error": f"{find_runtime(job.runtime).version} cannot run {job.path}: {first_line(error)}"}


def main() -> None:
    """Answer commands until the input ends."""
    answering(_answers(questions(sys.stdin)))


if __name__ == "__main__":
    main()
