"""Where commands print, and how."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

out = Console(soft_wrap=False)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Two columns: names, and what they are; long texts wrap within their column."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in pairs:
        table.add_row(Text(name), Text(text))
    out.print(table)


class Progress:
    """What a terminal shows meanwhile: what is being done, and of what is counted how many of how many."""

    def __init__(self) -> None:
        words = TextColumn("{task.description}")
        self._bars = Bars(
            SpinnerColumn(), words, console=out, transient=True, disable=not out.is_terminal, auto_refresh=True
        )
        self._task = self._bars.add_task("counting", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def say(self, words: str) -> None:
        """Say what is being done, which nothing is counted of yet."""
        self._bars.columns = self._bars.columns[:2]
        self._bars.update(self._task, description=words, total=None)

    def counted(self, done: int, of: int) -> None:
        """Say how many of how many are done."""
        if len(self._bars.columns) == 2:
            self._bars.columns = (*self._bars.columns, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars.update(self._task, completed=done, total=of)
