"""A benchmark as the terminal shows it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from unskip.report.bench_record import Bench, Group
from unskip.report.bench_tables import DEFINITIONS, Figure, columns, conclusions, footnotes, rows, setting_of
from unskip.terminal import bare_table

__all__ = ["render"]

_OF_TIME = 3  # the columns about time; those about memory and what the file is stand below them


def render(bench: Bench, console: Console) -> None:
    """Print two tables for every setting, and what must be known to read them."""
    if bench.load.warning:
        console.print(Text(f"Warning: {bench.load.warning}.", style="yellow"))
    for note in bench.notes:
        console.print(Text(note))
    for group in bench.groups:
        console.print()
        console.print(Text(setting_of(group), style="bold"))
        _print(bench, group, slice(0, _OF_TIME), console)
        console.print()
        _print(bench, group, slice(_OF_TIME, None), console)
        for note in footnotes(group):
            console.print(Text(note, style="dim"))
    console.print()
    for sentence in conclusions(bench):
        console.print(Text(sentence))
    used = [text for name, text in DEFINITIONS.items() if name != "device" or bench.groups[0].device != "cpu"]
    for text in (*used, _about_spread(bench)):
        console.print(Text(f"{text}.", style="dim"))


def _print(bench: Bench, group: Group, part: slice, console: Console) -> None:
    table = bare_table()
    table.add_column("", overflow="fold")
    for column in columns(group)[part]:
        table.add_column(f"{column.name}\n{column.unit}", justify="right")
    for row in rows(bench, group):
        if row.refused is None:
            table.add_row(Text(row.label.replace("+", " +")), *map(_cell, row.figures[part]))
    if table.row_count:
        console.print(table)
    if part.start == 0:
        for row in rows(bench, group):
            if row.refused is not None:
                console.print(Text(f"{row.label}: not measured: {row.refused}."))


def _cell(figure: Figure) -> Text:
    return Text("\n".join((figure.text, *figure.below)))


def _about_spread(bench: Bench) -> str:
    processes = f"{bench.processes} fresh process{'es' * (bench.processes != 1)}"
    return (
        f"Latency is the median of {bench.repeats} rounds over {processes} of every file, below it the 10th to 90th "
        "percentile; ratios are taken within the rounds"
    )
