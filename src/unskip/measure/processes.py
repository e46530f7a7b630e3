"""Fresh processes that each run one deployed file, and rounds in which they take turns."""

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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from unskip.errors import UnskipError
from unskip.runtimes.worker import Job

__all__ = ["Job", "Rounds", "Worker", "take_turns"]

# -P: what lies in the working directory is not imported by accident.
COMMAND = (sys.executable, "-P", "-m", "unskip.runtimes.worker")
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
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise UnskipError(found["error"])
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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


@dataclass
class Rounds:
    """What one file gave: the runtime with its version, milliseconds by round, bytes by process.

    ``error`` is what stopped it; the figures up to then are no measurement.
    """

    runtime: str = ""
    samples_ms: list[float] = field(default_factory=list)
    resident_rise_bytes: list[int | None] = field(default_factory=list)
    device_peak_bytes: list[int | None] = field(default_factory=list)
    error: UnskipError | None = None


def take_turns(jobs: Mapping[str, Job], *, repeats: int, processes: int) -> dict[str, Rounds]:
    """Run every job in ``processes`` fresh processes, one after the other, for ``repeats`` rounds in all.

    The rounds are shared out evenly, the first processes taking what is over. Processes of different jobs live at the
    same time and take turns: while one of them runs, the others wait for their pipe. Each round starts with another
    job. A job that fails is left out from then on; the others go on.
    """
    found = {name: Rounds() for name in jobs}
    processes = min(processes, repeats)
    for launch in range(processes):
        left = {name: job for name, job in jobs.items() if found[name].error is None}
        if not left:
            break
        with ExitStack() as stack:
            players = [_Player(stack.enter_context(Worker(job)), found[name]) for name, job in left.items()]
            _play(players, repeats // processes + (launch < repeats % processes))
    return found


class _Player:
    """A process and where its answers go; after a failure it is silent."""

    def __init__(self, worker: Worker, rounds: Rounds) -> None:
        self._worker = worker
        self._rounds = rounds

    def ask(self, command: str | None) -> None:
        """Note the answer to a command, or, without one, to the job itself."""
        if self._rounds.error is not None:
            return
        if command is not None:
            self._worker.tell(command)
        try:
            answer = self._worker.answer()
        except UnskipError as error:
            self._rounds.error = error
            return
        if "ms" in answer:
            self._rounds.samples_ms.append(answer["ms"])
        elif "resident_rise_bytes" in answer:
            self._rounds.resident_rise_bytes.append(answer["resident_rise_bytes"])
            self._rounds.device_peak_bytes.append(answer["device_peak_bytes"])
        elif "version" in answer:
            self._rounds.runtime = answer["version"]


def _play(players: Sequence[_Player], rounds: int) -> None:
    for player in players:  # all load their files at the same time, and nothing else
        player.ask(None)
    for player in players:
        player.ask("warm_up")
    for turn in range(rounds):
        first = turn % len(players)
        for player in (*players[first:], *players[:first]):
            player.ask("sample")
    for player in players:
        player.ask("memory")


def _environment(threads: int) -> dict[str, str]:
    """That of this process, with as many threads as asked, which do not spin while they wait."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
