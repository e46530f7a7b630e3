"""A cell as a process of its own: an ordinary ``unskip run``, wherever an engine starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from unskip.errors import UnskipError

_PATIENCE = 60.0  # seconds that a process of an earlier attempt has to leave the folder
HELD = 75  # sysexits.h: try again later
_MESSAGE = re.compile(r"^unskip: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """The run of one cell. Paths are absolute; ``launch`` starts Python where it is not to be started as it is here."""

    name: str
    recipe: Path
    folder: Path
    log: Path
    place: Path
    allowed: tuple[str, ...] = ()
    launch: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> tuple[str, ...]:
        """What is run."""
        modules = [word for module in self.allowed for word in ("--allow-module", module)]
        run = ("-m", "unskip", "run", str(self.recipe), "--out", str(self.folder), *modules)
        return (*(self.launch or (sys.executable,)), *run)


class TaskProcess:
    """The process of a task, which ends with the one that started it; what it says is in the task's log."""

    def __init__(self, task: Task, environment: Mapping[str, str] | None = None) -> None:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        paths = os.pathsep.join(path for path in sys.path if path)  # this package, wherever the worker found it
        with open(task.log, "wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "unskip.study.watched", *task.command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=task.place,
                env={**os.environ, "PYTHONPATH": paths, **task.environment, **(environment or {})},
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """The exit code, when it has ended."""
        return self._process.wait()

    def end(self) -> None:
        """End it, and wait until it has."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()


def carry_out(task: Task) -> int:
    """Run a task in a worker, and return its exit code.

    Waits for a process of an earlier attempt, whose worker was killed, to leave the folder; ``HELD`` where it does not.
    """
    if task.folder.is_dir():
        try:
            with FileLock(task.folder / ".lock").acquire(timeout=_PATIENCE):
                pass
        except Timeout:
            return HELD
    process = TaskProcess(task)
    try:
        return process.wait()
    finally:
        process.end()


def last_words(task: Task, code: int) -> str:
    """Why a task ended with an exit code: the last sentence in its log, or how its process ended."""
    with suppress(OSError):
        messages = _MESSAGE.findall(task.log.read_text(encoding="utf-8", errors="replace"))
        if messages:
            return str(messages[-1])
    if code > 128 or code < 0:
        with suppress(ValueError):
            return f"its process was killed by {signal.Signals(abs(code) % 128).name}; see {task.log}"
    return f"its process ended with exit code {code}; see {task.log}"


def parsed_launch(text: str | None) -> tuple[str, ...]:
    """The words of a launcher, such as ``torchrun --nproc-per-node 8``; `UnskipError` for a text with open quotes."""
    import shlex

    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise UnskipError(f"`launch` {text}: {error}") from error
