"""Runs, shrinks and benchmarks as the terminal shows them: the sentences and the tables of the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from unskip.records import Comparison, EightBits, PastRuns, Run, RunAnalysis, Shrink
from unskip.report.eight_bits import eight_bits_table
from unskip.report.lines import files_table, nets_table, setting_of
from unskip.report.past_runs import networks_table
from unskip.report.sentences import sentences
from unskip.report.shrink_trials import tried_table
from unskip.report.shrinks import side_by_side
from unskip.report.table import Table, definitions
from unskip.terminal import bare_table

_LABELS = 30  # characters; what is longer is broken
_HEAD = 11  # characters of a column's head in a line
_LABEL_PART = 4  # a fourth of the terminal is for labels; where they need more, tables have numbers


def show_run(run: Run, console: Console) -> None:
    """Print what a run comes to, its networks in short, and what speaks against trust; its page has the rest."""
    for sentence in sentences(run, "headline"):
        console.print(Text(sentence, style="bold"))
    for sentence in sentences(run, "recovery"):
        console.print(Text(sentence))
    _show_files(run.comparison, console, short=True)
    _dim(sentences(run, "notes"), console)


def show_bench(comparison: Comparison, console: Console, *, details: bool = False) -> None:
    """Print what was found and the costs that decide, setting by setting; with ``details`` all and their meaning.

    In the tables, labels that leave them little room are numbers, which a list above them explains.
    """
    for sentence in sentences(comparison, "headline"):
        console.print(Text(sentence, style="bold"))
    for note in sentences(comparison, "notes"):
        console.print(Text(note, style="yellow"))
    shown = comparison
    if max(cell_len(subject.label) for subject in comparison.subjects) > console.width // _LABEL_PART:
        shown, names = _numbered(comparison)
        console.print()
        console.print(bare_table("what is compared", ("", "~"), names, head=False))
        console.print()
    if not details:
        _show_files(shown, console, short=True)
        return
    nets = nets_table(shown)
    show_table(nets, console)
    tables = [nets, *_show_files(shown, console)]
    for sentence in sentences(comparison, "conclusions"):
        console.print(Text(sentence))
    _dim((f"{definition}." for definition in definitions(*tables)), console)
    _dim(sentences(comparison, "rounds"), console)


def show_past_runs(record: PastRuns, console: Console) -> None:
    """Print which student is the best, what sets the runs apart, and the networks by number, in short."""
    for sentence in sentences(record, "headline"):
        console.print(Text(sentence, style="bold"))
    for note in sentences(record, "notes"):
        console.print(Text(note, style="yellow" if note.startswith("Warning") else ""))
    table = networks_table(record, short=True)
    names = [(str(place), row.content.label, row.content.about) for place, row in enumerate(table.rows)]
    console.print()
    console.print(bare_table("the networks, as RUN:NET", ("", "~", "~"), names, head=False))
    console.print()
    show_table(_by_number(table), console)
    _dim((f"{definition}." for definition in definitions(table)), console)


def show_run_analysis(record: RunAnalysis, console: Console) -> None:
    """Print what an analysis of runs found: what papers say and whether it shows, the tables, what was looked at."""
    for sentence in sentences(record, "headline"):
        console.print(Text(sentence, style="bold"))
    for sentence in sentences(record, "claims"):
        console.print(Text(f"- {sentence}"))
    for table in record.tables:
        console.print()
        head, *columns = ("\n".join(wrap(column, _HEAD)) for column in table.columns)
        console.print(Text(table.title, style="bold"))
        console.print(bare_table(None, (f"<{head}", *columns), table.rows))
        _dim([table.caption] if table.caption else [], console)
    console.print()
    _dim(sentences(record, "about"), console)


def _by_number(table: Table) -> Table:
    """The same with numbers for labels, in the rows and in what is said below them."""
    rows = tuple(replace(row, content=replace(row.content, label=str(number))) for number, row in enumerate(table.rows))
    return replace(table, rows=rows)


def show_eight_bits(records: Sequence[EightBits], console: Console) -> None:
    """Print what 8 bits cost the networks of a run, residual and plain, where there is something."""
    if records:
        table = eight_bits_table(records)
        show_table(table, console)
        _dim((f"{definition}." for definition in definitions(table)), console)


def show_shrink(record: Shrink, console: Console) -> None:
    """Print whether the budget was met and what it cost, what was tried, and what it would cost to go further."""
    for sentence in sentences(record, "headline"):
        console.print(Text(sentence, style="bold"))
    for sentence in sentences(record, "ways_out") + sentences(record, "time"):
        console.print(Text(sentence))
    if record.winner is not None:
        console.print()
        show_table(side_by_side(record), console)
    if record.trials:
        console.print()
        show_table(tried_table(record), console)
        _dim(sentences(record, "dropped"), console)
    for title, part in (("To go further", "further"), ("Answers", "classes")):
        told = sentences(record, part)
        if told:
            console.print()
            console.print(Text(title, style="bold"))
        for sentence in told:
            console.print(Text(sentence))
    console.print()
    _dim(sentences(record, "notes") + sentences(record, "repeat"), console)


def _numbered(comparison: Comparison) -> tuple[Comparison, list[tuple[str, str]]]:
    """The same with numbers for labels, and the list of numbers and labels."""
    numbers = {subject.label: str(number) for number, subject in enumerate(comparison.subjects)}
    groups = (
        group.model_copy(
            update={"cells": tuple(cell.model_copy(update={"subject": numbers[cell.subject]}) for cell in group.cells)}
        )
        for group in comparison.groups
    )
    subjects = (each.model_copy(update={"label": numbers[each.label]}) for each in comparison.subjects)
    update = {"subjects": tuple(subjects), "groups": tuple(groups)}
    return comparison.model_copy(update=update), [(number, label) for label, number in numbers.items()]


def _show_files(comparison: Comparison, console: Console, *, short: bool = False) -> list[Table]:
    """Print the table of the files in every setting, and return these."""
    tables = []
    for group in comparison.groups:
        tables.append(files_table(comparison, group, short=short))
        console.print()
        console.print(Text(setting_of(group), style="bold"))
        show_table(tables[-1], console)
    console.print()
    return tables


def show_table(table: Table, console: Console) -> None:
    """Print a table, in parts below each other where the terminal is too narrow for all of its columns."""
    for part in table_parts(table, console):
        console.print(part)


def table_parts(table: Table, console: Console) -> Iterator[RenderableType]:
    """What `show_table` prints."""
    rows = [row for row in table.rows if not row.content.refused]
    labels = [row.content.label.replace("+", " +") for row in rows]  # where it may be broken
    if len(set(labels)) < len(labels):
        labels = [f"{label}\n{row.content.about}" for label, row in zip(labels, rows, strict=True)]
    has_units = any(column.unit for column in table.columns)
    columns = [
        [column.title + f"\n{column.unit}" * has_units, *map("\n".join, entries)]
        for column, *entries in zip(table.columns, *(row.entries for row in rows), strict=True)
    ]
    widest = max((cell_len(line) for label in labels for line in label.split("\n")), default=0)
    room = console.width - min(widest, _LABELS)
    for part in _parts(columns, room) if rows else ():
        heads = ("~", *(column[0] for column in part))
        cells = (column[1:] for column in part)
        yield bare_table(None, heads, zip(labels, *cells, strict=True))
    for row in table.rows:
        if row.content.refused:
            yield Text(f"{row.content.label}: not measured: {row.content.refused}.")
    for footnote in table.footnotes:
        yield Text(footnote, style="dim")


def _parts(columns: list[list[str]], room: int) -> Iterator[list[list[str]]]:
    """The columns in groups that are not wider than the room beside the labels."""
    part: list[list[str]] = []
    width_left = room
    for column in columns:
        needed = 2 + max(cell_len(line) for text in column for line in text.split("\n"))
        if part and needed > width_left:
            yield part
            part, width_left = [], room
        part.append(column)
        width_left -= needed
    yield part


def _dim(sentences: Iterable[str], console: Console) -> None:
    for sentence in sentences:
        console.print(Text(sentence, style="dim"))
