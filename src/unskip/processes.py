"""Processes of this package's own that answer questions, a line of JSON for a line of JSON, until their input ends."""

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
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self, TextIO

from unskip.errors import UnskipError


def own_command(module: str) -> tuple[str, ...]:
    """The command of a process that runs a module of this package."""
    return (sys.executable, "-P", "-m", module)  # -P: what lies in the working directory is not imported by accident


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class AnsweringProcess:
    """A process of its own, idle except between a question and its answer.

    ``subject`` is what sentences call it, ``threads`` how many it computes with. It ends, with whatever it has started
    itself, with the block that it is opened in, and when this process is gone, even in the middle of an answer.
    """

    def __init__(self, command: Sequence[str], subject: str, *, threads: int, patience_seconds: float) -> None:
        self._subject = subject
        self._patience = patience_seconds
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(threads),
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def tell(self, message: object) -> None:
        """Send a message; what becomes of it shows in the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it is gone, and the answer will say so
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest message without one. `UnskipError` for a failure, a crash, or silence."""
        try:
            line = self._answers.get(timeout=self._patience)
        except queue.Empty:
            self.end()  # else it would answer another question
            raise UnskipError(f"{self._subject} gives no answer within {self._patience:g} seconds") from None
        if not line:
            raise UnskipError(f"{self._subject} {self._ending()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UnskipError(answer["error"])
        return answer

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """End it; whoever waits for an answer hears that it was killed."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)  # with a compiler that it may be waiting for
            else:
                self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self.end()
        with contextlib.suppress(OSError):  # a message that nobody read
            self._process.stdin.close()
        self._said.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._answers.put(line)
        self._answers.put(b"")

    def _ending(self) -> str:
        """How the process ended, and its last words."""
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        try:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
        except ValueError:  # closed meanwhile
            lines = []
        return f"{how}: {lines[-1]}" if lines else how


def answering(answers: Iterator[dict[str, Any]]) -> None:
    """Write answers to standard output, each as soon as it is known; what anyone prints goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        for answer in answers:
            print(json.dumps(answer), file=output, flush=True)


def questions(stream: TextIO) -> Iterator[Any]:
    """The messages that this process is told, until its input ends.

    Where it ends because the process that asks is gone, this one ends at once, with whatever it has started.
    """
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_and_watch, args=(stream.fileno(), lines, os.getppid()), daemon=True).start()
    for line in iter(lines.get, b""):
        yield json.loads(line)


def _read_and_watch(descriptor: int, lines: queue.SimpleQueue[bytes], parent: int) -> None:
    begun = b""
    while read := os.read(descriptor, 65536):  # a stream's lock would be held where the process ends by an error
        *whole, begun = (begun + read).split(b"\n")
        for line in whole:
            lines.put(line)
    lines.put(b"")
    while os.getppid() == parent:  # an answer may still be under way, and heard
        time.sleep(0.1)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _environment(threads: int) -> dict[str, str]:
    """That of this process, with as many threads as asked, which do not spin while they wait."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",  # which would go before it
    }
