"""Deployed files timed side by side: fresh processes that each run one of them, and rounds in which they take turns."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from unskip.errors import UnskipError
from unskip.measures import Timing
from unskip.runtimes._worker import Job

__all__ = ["Job", "Worker", "measure_files"]

# -P: what lies in the working directory is not imported by accident.
COMMAND = (sys.executable, "-P", "-m", "unskip.runtimes._worker")
PATIENCE_SECONDS = 300.0  # for one answer


class Worker:
    """A process of its own for one file, idle except between a question and its answer.

    It ends with the block that it is opened in, and when its input closes because this process is gone.
    """

    def __init__(
        self, job: Job, *, command: Sequence[str] = COMMAND, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._job = job
        self._patience = patience_seconds
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(job.threads),
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.tell(job.to_json())

    def tell(self, message: object) -> None:
        """Send a message; what becomes of it shows in the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone, and the answer will say so
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest message without one. `UnskipError` for a failure, a crash, or silence."""
        try:
            line = self._answers.get(timeout=self._patience)
        except queue.Empty:
            raise UnskipError(f"{self._subject} gives no answer within {self._patience:g} seconds") from None
        if not line:
            raise UnskipError(f"{self._subject} {self._ending()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UnskipError(answer["error"])
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # a message that nobody read
            self._process.stdin.close()
        self._said.close()

    @property
    def _subject(self) -> str:
        return f"the process that runs {self._job.path} in {self._job.runtime}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._answers.put(line)
        self._answers.put(b"")

    def _ending(self) -> str:
        """How the process ended, and its last words."""
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{how}: {lines[-1]}" if lines else how


def measure_files(jobs: Mapping[str, Job], *, repeats: int = 50, processes: int = 3) -> dict[str, Timing | UnskipError]:
    """Run files side by side, under the names given; what could not be run has its `UnskipError` in its place.

    Every file runs in ``processes`` fresh processes, one after the other, which are warmed up until their times are
    steady and share the ``repeats`` rounds, the first ones taking what is over. In every round the files take turns,
    each round starting with another one, so that a change in the machine's load or clock meets them all alike: while
    one process runs, the others wait for their pipe. A sample is the mean over as many calls as it takes to last five
    milliseconds, after two that do not count. Threads that wait do not spin, where the runtime allows it.
    """
    timings: dict[str, Timing | UnskipError] = {name: Timing() for name in jobs}
    processes = min(processes, repeats)
    for launch in range(processes):
        left = [name for name, timing in timings.items() if isinstance(timing, Timing)]
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(jobs[name])) for name in left}
            _play(workers, timings, repeats // processes + (launch < repeats % processes))
    return timings


def _play(workers: Mapping[str, Worker], timings: dict[str, Timing | UnskipError], rounds: int) -> None:
    """Have the processes take turns and note their answers; who gives an error is not asked again."""

    def ask(names: Iterable[str], command: str | None = None) -> None:
        for name in names:
            timing = timings[name]
            if isinstance(timing, UnskipError):
                continue
            try:
                if command is not None:
                    workers[name].tell(command)
                answer = workers[name].answer()
            except UnskipError as error:
                timings[name] = error
                continue
            if command == "sample":
                timing.milliseconds.append(answer["ms"])
            elif command == "memory":
                timing.resident_rise_bytes.append(answer["resident_rise_bytes"])
                timing.device_peak_bytes.append(answer["device_peak_bytes"])

    ask(workers)  # all load their files at the same time, and nothing else
    ask(workers, "warm_up")
    order = deque(workers)
    for _ in range(rounds):
        ask(order, "sample")
        order.rotate(-1)
    ask(workers, "memory")


def _environment(threads: int) -> dict[str, str]:
    """That of this process, with as many threads as asked, which do not spin while they wait."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
