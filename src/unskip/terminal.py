"""What a terminal shows besides sentences."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text


def bare_table(
    title: str | None = None,
    columns: Iterable[str] = (),
    rows: Iterable[Iterable[str | Text]] = (),
    *,
    head: bool = True,
) -> Table:
    """A table without lines; texts stand as they are.

    A column is its name, after ``<`` one of words that are kept whole, after ``~`` one of words that wrap, otherwise
    one of numbers. Without ``head`` the names are not shown.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=head)
    for column in columns:
        name = column.lstrip("<~")
        if column.startswith("~"):
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="left" if column.startswith("<") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table
