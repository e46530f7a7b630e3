"""What a terminal shows besides sentences."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from rich.console import Console
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


def as_html(show: Callable[[Console], object]) -> str:
    """What ``show`` prints, as a notebook shows it: the same text, in the notebook's own colours."""
    console = Console(file=io.StringIO(), record=True, width=110, force_jupyter=False)
    show(console)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>')
