"""The papers' counts beside this code's, as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unskip.papers.counts import CheckedCount

__all__ = ["render", "summary"]

_RESIDUAL = {True: " R", False: " NR", None: ""}


def render(checked: Sequence[CheckedCount], console: Console) -> None:
    """Print a line for every figure, the reason for each that differs, and one sentence."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("paper, table", "network", "variant", "count"):
        table.add_column(name, no_wrap=True)
    for name in ("printed", "computed"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("match")
    for item in checked:
        cell = item.cell
        variant = cell.variant + _RESIDUAL[cell.residual]
        mark = "yes" if item.matches else "slip" if cell.note else "NO"
        words = (f"{cell.paper} {cell.table}", cell.network, variant, cell.metric, _printed(item))
        table.add_row(*map(Text, (*words, f"{item.computed:,}", mark)))
    console.print(table)
    for item in checked:
        if not item.matches:
            console.print()
            console.print(_difference(item), highlight=False, markup=False)
    console.print()
    console.print(summary(checked), highlight=False, markup=False)


def summary(checked: Sequence[CheckedCount]) -> str:
    """How many figures match, and why the others do not, in a sentence."""
    matching = sum(item.matches for item in checked)
    failures = sum(item.is_failure for item in checked)
    slips = len(checked) - matching - failures
    said = f"{matching} of {len(checked)} printed counts match"
    if slips:
        said += f"; {slips} {'is a slip' if slips == 1 else 'are slips'} of the papers, explained above"
    if failures:
        said += f"; {failures} {'differs' if failures == 1 else 'differ'} without an explanation: a fault of this code"
    return said + "."


def _difference(item: CheckedCount) -> str:
    cell = item.cell
    return (
        f"{cell.paper}, table {cell.table}, {cell.network} {cell.variant}, {cell.metric}: {_printed(item)} is printed, "
        f"{item.computed:,} computed: {cell.note or 'nothing explains it'}."
    )


def _printed(item: CheckedCount) -> str:
    return f"{item.cell.printed} {item.cell.unit}"
