"""What carries out the cells of a study: one file for each way, found by listing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from unskip.study.task import Task


class Engine(ABC):
    """Runs tasks somewhere, several at once.

    The keyword-only arguments of a subclass are its settings; ``jobs`` is the most tasks at once. It is opened as a
    context; whether tasks go on when it is left is the engine's to say. ``measures_here`` says whether tasks run on
    this machine, so that steps that are timed here tell how long they take.
    """

    measures_here = False
    threads: int | None = None  # of a cell, where the engine says so

    def __init__(self, *, jobs: int | None = None) -> None:
        self.jobs = jobs

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many tasks may be started at once, those that wait in the engine's own queue included."""

    @abstractmethod
    def start(self, task: Task) -> None:
        """Start a task, or put it into the queue."""

    @abstractmethod
    def ended(self, seconds: float) -> Iterable[tuple[Task, int | None]]:
        """The tasks that have ended, with their exit codes; None where the worker was lost.

        Waits up to ``seconds`` for one.
        """

    def found_again(self, tasks: Iterable[Task]) -> list[Task]:
        """Those tasks that an earlier call has started and that still run; they are ended by :meth:`ended` too."""
        return []

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave."""
