"""A study as a page, in the terminal and as files: the paper's table beside the measured one, from its record alone."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from unskip.files import write_text
from unskip.records import Study
from unskip.report.sentences import TEMPLATES, sentences
from unskip.report.study_curves import curve_drawings
from unskip.report.study_tables import conclusion_table, facts_of, figures_table, minutes_table
from unskip.report.study_texts import as_csv, as_markdown, as_tex
from unskip.report.svg import visible
from unskip.report.table import Table
from unskip.report.terminal import show_table

_HEAD = 18  # characters of a line of a column's title in the terminal


def write_study(folder: Path) -> Path:
    """Write a study's page and files beside its ``study.json``, and return the path of the page.

    ``study.html`` needs nothing but itself, and links to the reports of its runs; ``study.csv`` has a line for every
    figure and seed; ``study.tex`` is a part of a paper, ``study.md`` for a page of documentation. Each
    appears whole or not at all.

    Raises:
        UnskipError: The folder holds no ``study.json``, or one that cannot be read.
    """
    folder = Path(folder)
    study = Study.read(folder)
    page = folder / "study.html"
    texts = {"study.csv": as_csv(study), "study.tex": as_tex(study), "study.md": as_markdown(study)}
    for name, text in texts.items():
        write_text(folder / name, text)
    write_text(page, render_study(study))
    return page


def render_study(study: Study) -> str:
    """The whole page as HTML; the same record gives the same bytes."""
    compared = [each for each in facts_of(study).conclusions if each.places]
    return TEMPLATES.get_template("study.html.j2").render(
        unskip=study.unskip,
        pictures=False,
        title=" ".join(sentences(study, "title")),
        study=study,
        figures=figures_table(study),
        conclusions=[(each, conclusion_table(each)) for each in compared],
        curves=curve_drawings(study),
        minutes=minutes_table(study),
        link=lambda run: quote(f"{run}/report.html"),
        sentences=sentences,
    )


def show_study(record: Study, console: Console) -> None:
    """Print what a study shows: its table, the paper's figures below those measured, whether its conclusions show."""
    for sentence in sentences(record, "title"):
        console.print(Text(visible(sentence), style="bold"))
    for sentence in (*sentences(record, "incomplete"), *sentences(record, "chance")):
        console.print(Text(visible(sentence), style="yellow"))
    for sentence in (*sentences(record, "notes"), *sentences(record, "counted"), *sentences(record, "conclusions")):
        console.print(Text(visible(sentence)))
    console.print()
    show_table(_in_terminal(figures_table(record, short=True)), console)
    for part in ("units", "reading", "intervals", "cost"):
        for sentence in sentences(record, part):
            console.print(Text(visible(sentence), style="dim"))


def _in_terminal(table: Table) -> Table:
    """The same with labels of one line, and titles that are not wider than figures are."""
    titles = (textwrap.fill(visible(each.title), _HEAD) for each in table.columns)
    columns = tuple(each.model_copy(update={"title": title}) for each, title in zip(table.columns, titles, strict=True))
    rows = tuple(replace(row, content=replace(row.content, label=visible(row.content.label))) for row in table.rows)
    return replace(table, columns=columns, rows=rows)
