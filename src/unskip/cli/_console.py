"""Where commands print, and how."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
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
