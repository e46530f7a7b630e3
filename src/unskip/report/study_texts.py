"""A study's figures as CSV, as a LaTeX table for a paper and as a Markdown table for a page."""

from __future__ import annotations

import csv
import io
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from unskip.records import Entry, Study
from unskip.report.model_card import markdown_text
from unskip.report.sentences import TEMPLATES, sentences
from unskip.report.study_tables import conclusion_table, facts_of, figures_table
from unskip.report.table import Table

_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\ttfamily\char34}",
    "`": r"{\ttfamily\char96}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": r"\textendash{}",
    "\N{RIGHTWARDS ARROW}": r"$\to$",
}
_Part = TypeVar("_Part")
_DOUBLED = re.compile(r"([-',])(?=\1)")  # which would become another sign
_TEX_WIDTH, _TEX_CELL = 82, 15  # characters of a page, and of a column
_TEX_LINES = 46  # of a page, beside a caption


@dataclass(frozen=True)
class TexRow:
    """A row of a printed table: by column what is measured, and what is printed with the gap in brackets."""

    label: str
    measured: tuple[str, ...]
    printed: tuple[str, ...]


@dataclass(frozen=True)
class TexTable:
    """A part of the table that is not wider than a page."""

    columns: tuple[str, ...]
    rows: tuple[TexRow, ...]


def as_csv(study: Study) -> str:
    """A line for every figure and seed, in the units of the record; what is computed says how instead of its run."""
    text = io.StringIO()
    writer = csv.writer(text)  # with RFC 4180's line ends, for which alone it quotes a carriage return
    printed = "printed_of_full_form" if study.quick else "printed"
    writer.writerow(("row", "column", "value", "seed", "measured", printed, "run", "computed"))
    for entry in study.everything:
        for seed, figure in entry.measured.items():
            of = (entry.runs[seed], "") if isinstance(entry, Entry) else ("", f"{entry.of} less {entry.minus}")
            writer.writerow((entry.row, entry.column, entry.value, seed, f"{figure:.9g}", entry.printed, *of))
    return text.getvalue()


def as_tex(study: Study) -> str:
    """LaTeX that a document takes in as it is; it needs the package booktabs and nothing else.

    What is printed stands below what is measured. A wide table is in parts, one below the other.
    """
    return TEMPLATES.get_template("study.tex.j2").render(
        study=study,
        pages=_pages(
            _tex_tables(study), lambda table: 3 + len(table.rows) + sum(any(row.printed) for row in table.rows)
        ),
        figures=figures_table(study),
        conclusion_pages=_pages(_conclusions(study), lambda each: 5 + len(each[1].rows)),
        tex=tex_text,
        head=_tex_head,
        name=re.sub(r"[^A-Za-z0-9-]+", "-", study.name) + "-quick" * study.quick,
        sentences=sentences,
    )


def _tex_tables(study: Study) -> list[TexTable]:
    """The paper's table in parts that are not wider than a page; rows that a part has nothing of are left out."""
    table = figures_table(study, short=True)
    titles, tables = [column.title for column in table.columns], []
    step = max(1, (_TEX_WIDTH - max((len(row) for row in study.rows), default=0)) // _TEX_CELL)
    for start in range(0, len(titles), step):
        rows = []
        for row in table.rows:
            entries = row.entries[start : start + step]
            if any(map(any, entries)):
                measured = (entry[0].removesuffix(f" ({len(study.seeds)})") for entry in entries)
                printed = (re.sub(", (.+)", r" (\1)", entry[1]) if len(entry) > 1 else "" for entry in entries)
                rows.append(TexRow(row.content.label, tuple(measured), tuple(printed)))
        tables.append(TexTable(tuple(titles[start : start + step]), tuple(rows)))
    return tables


def _pages(parts: Iterable[_Part], lines: Callable[[_Part], int]) -> list[list[_Part]]:
    """The parts, page by page; a part alone may still be too long for one."""
    pages: list[list[_Part]] = []
    for part in parts:
        if not pages or sum(map(lines, (*pages[-1], part))) > _TEX_LINES:
            pages.append([])
        pages[-1].append(part)
    return pages


def as_markdown(study: Study) -> str:
    """Markdown of the tables and of what is said of them."""
    return TEMPLATES.get_template("study.md.j2").render(
        study=study,
        figures=figures_table(study),
        conclusions=_conclusions(study),
        md=markdown_text,
        sentences=sentences,
    )


def _conclusions(study: Study) -> list[tuple[str, Table]]:
    return [(each.title, conclusion_table(each)) for each in facts_of(study).conclusions if each.places]


def tex_text(text: str) -> str:
    """Text as LaTeX prints it, nothing in it a command; signs that pdfLaTeX may lack become ASCII, or a code."""
    return _DOUBLED.sub(r"\1{}", "".join(map(_tex_sign, " ".join(text.split()))))


def _tex_head(title: str) -> str:
    """A column's title on as many lines as it needs to be no wider than the column."""
    lines = [tex_text(line) for line in textwrap.wrap(title, _TEX_CELL)]
    return r"\shortstack[r]{" + r"\\{}".join(lines) + "}" if len(lines) > 1 else tex_text(title)


def _tex_sign(sign: str) -> str:
    if sign in _TEX:
        return _TEX[sign]
    if sign.isascii():
        return sign if sign.isprintable() else ""
    plain = "".join(each for each in unicodedata.normalize("NFKD", sign) if each.isascii() and each.isprintable())
    return "".join(_TEX.get(each, each) for each in plain) if plain else f"[U+{ord(sign):04X}]"
