"""Where a shrink keeps its things, and how long it has worked."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from unskip.errors import UnskipError
from unskip.files import parse_json, remove, write_json
from unskip.shrink.lengths import Length
from unskip.shrink.shrink_request import Request

_SECONDS_BETWEEN_NOTES = 5.0


class ShrinkFolder:
    """The folder of a request.

    It holds ``request.json``, ``plan.json``, ``trials/``, the winner's ``recipe.yaml`` and its run ``winner/``, the
    deployed files, and at the end ``shrink.json``, ``report.html`` and ``README.md``. Opening makes it, or goes on with
    one of the same request. Raises `UnskipError` where it holds another request, naming what differs, or other things.
    """

    def __init__(self, path: Path, request: Request) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.teacher = path / "teacher.safetensors"
        self.recipe = path / "recipe.yaml"
        self.winner = path / "winner"
        self.results = path / "shrink.json"
        self._lengths = path / "lengths.json"
        self._open(path / "request.json", json.loads(json.dumps(request.to_json())))

    def trial(self, label: str, rung: int) -> Path:
        """The weights that a trial had after a rung."""
        return self.path / "trials" / f"{label}-rung{rung}.safetensors"

    def length(self, training: str, chosen: Callable[[], Length]) -> Length:
        """How long a training is: as it was chosen first, since one that goes on must be as long as it was meant."""
        known = parse_json(self._lengths.read_bytes(), str(self._lengths)) if self._lengths.is_file() else {}
        if training not in known:
            known[training] = asdict(chosen())
            write_json(self._lengths, known)
        return Length(**known[training])

    def _open(self, file: Path, asked: dict[str, Any]) -> None:
        if file.is_file():
            before = parse_json(file.read_bytes(), str(file))
            if not isinstance(before, dict):
                raise UnskipError(f"{file} is damaged; delete {self.path} to begin anew")
            differing = [name for name in asked if before.get(name) != asked[name]]
            if differing and self.plan.exists():
                raise UnskipError(
                    f"{self.path} was asked for something else; it differs in {', '.join(map(repr, differing))}. "
                    "Choose another `folder`, or delete this one"
                )
        elif self.path.exists() and any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise UnskipError(f"{self.path} exists and is no folder of `unskip shrink`; choose another `folder`")
        write_json(file, asked)
        for leftover in list(self.path.rglob(".*.tmp")):  # of a process that was killed while it wrote
            remove(leftover)


class Clock:
    """The seconds that were worked in all, those of interrupted calls too.

    Within its block they are noted in ``file`` every few seconds, so that a process that is killed loses no more.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._before = 0.0
        if file is not None and file.is_file():
            with contextlib.suppress(ValueError, TypeError, OSError):
                self._before = float(json.loads(file.read_text(encoding="utf-8")))
        self._started = time.monotonic()
        self._over = threading.Event()
        self._noting = threading.Thread(target=self._note, daemon=True)

    @property
    def seconds(self) -> float:
        """So far."""
        return self._before + time.monotonic() - self._started

    def __enter__(self) -> Self:
        self._noting.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._noting.join()

    def _note(self) -> None:
        while self._file is not None:
            over = self._over.wait(_SECONDS_BETWEEN_NOTES)
            with contextlib.suppress(OSError, UnskipError):  # a full disk is noticed by what matters more
                write_json(self._file, round(self.seconds, 1))
            if over:
                break
