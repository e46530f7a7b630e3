"""Where commands print, and how."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Self, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from unskip.cli._ending import say
from unskip.quiet import unsilenced
from unskip.units import duration

out = Console(soft_wrap=False)
_SECONDS_BETWEEN_LINES = 15.0
_SECONDS_LEFT_TO_SAY = 15.0  # less is not worth a word


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Two columns: names, and what they are; long texts wrap within their column."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in pairs:
        table.add_row(Text(name), Text(text))
    out.print(table)


class Progress:
    """What a terminal shows meanwhile: what is being done, and of what is counted how many of how many.

    With ``lines``, where the output is no terminal, the same is said on standard error: a line after 15 seconds, then
    one for what is new, at most every 15 seconds. Both are seen while libraries are `unskip.quiet.quiet` too.
    """

    def __init__(self, *, lines: bool = True) -> None:
        words = TextColumn("{task.description}")
        self._bars = Bars(
            SpinnerColumn(), words, console=out, transient=True, disable=not out.is_terminal, auto_refresh=True
        )
        self._task = self._bars.add_task("beginning", total=None)
        self._begun = time.monotonic()
        self._counted_since = self._begun
        self._now = ("beginning", "")
        self._ended = threading.Event()
        self._wants_lines = lines and not out.is_terminal
        self._at_the_end = ExitStack()

    def __enter__(self) -> Self:
        if out.is_terminal:
            out.file = self._at_the_end.enter_context(unsilenced(cast(TextIO, out.file)))
            self._at_the_end.callback(_follow_standard_output)
        self._at_the_end.callback(self._bars.stop)
        self._bars.start()
        if self._wants_lines and sys.stderr is not None:
            heard = self._at_the_end.enter_context(unsilenced(sys.stderr))
            lines = threading.Thread(target=self._say_lines, args=[heard], daemon=True)
            self._at_the_end.callback(lines.join)
            lines.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._at_the_end.close()

    def say(self, words: str) -> None:
        """Say what is being done, which nothing is counted of yet."""
        self._now, self._counted_since = (words, ""), time.monotonic()
        self._bars.columns = self._bars.columns[:2]
        self._bars.update(self._task, description=words, total=None)

    def counted(self, done: int, of: int) -> None:
        """Say how many of how many are done, and how long the rest takes if it takes as long as what is done."""
        if not done:
            self._counted_since = time.monotonic()
        left = (time.monotonic() - self._counted_since) * (of / done - 1) if done else 0.0
        rest = f", about {duration(left)} left" if left > _SECONDS_LEFT_TO_SAY else ""
        self._now = (self._now[0], f", {done:,} of {of:,} done{rest}")
        if len(self._bars.columns) == 2:
            counts = MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
            self._bars.columns = (*self._bars.columns, BarColumn(), *counts)
        self._bars.update(self._task, completed=done, total=of)

    def images(self, words: str, done: int, of: int) -> None:
        """Say what is being done with how many images, of how many."""
        if self._now[0] != words:
            self.say(words)
        self.counted(done, of)

    def _say_lines(self, to: IO[str]) -> None:
        told = None
        while not self._ended.wait(_SECONDS_BETWEEN_LINES):
            if self._now != told:
                told = self._now
                say(f"{''.join(told)}, after {duration(time.monotonic() - self._begun)}", to)


def _follow_standard_output() -> None:
    """Let the console write to what standard output is at the time, as it does from its beginning."""
    out.file = cast(IO[str], None)
