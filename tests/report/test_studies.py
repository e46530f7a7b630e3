"""A study's page, its files and the terminal, also where labels have signs that mean something there."""

import csv
import functools
import io
import re
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some
from records.samples import HOSTILE, study
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from report.pages import Page
from unskip.cli import app
from unskip.errors import UnskipError
from unskip.records import Conclusion, Counted, Entry, Study, StudyCell
from unskip.report.sentences import sentences
from unskip.report.studies import render_study, show_study, write_study
from unskip.report.study_curves import curve_drawings, mean_curve
from unskip.report.study_tables import figures_table
from unskip.report.study_texts import as_csv, as_markdown, as_tex, tex_text
from unskip.study_statistics import derive

SIGNS = r"_&%$#<>|{}^~\`'--\"[*],?`!é→雪"
LABELS = some.one_of(
    some.text(alphabet=SIGNS + "ab \n", min_size=1, max_size=12), some.text(min_size=1, max_size=12)
).filter(str.strip)


def study_with(rows, columns, seeds, *, missing=(), printed=None, **other):
    """A study whose every cell is one run; ``missing`` are places in it that have no results."""
    cells, entries = [], []
    for place, column in enumerate(columns):
        for seed in seeds:
            state = "missing" if (place, seed) in missing else "done"
            cells.append(StudyCell(label=f"{place}: {column}", seed=seed, run=f"cells/{place}/{seed}", state=state))
        for number, row in enumerate(rows):
            known = [seed for seed in seeds if (place, seed) not in missing]
            entries.append(
                Entry(
                    row=row,
                    column=column,
                    printed=printed,
                    measured={seed: 90 - number + seed / 10 for seed in known},
                    runs={seed: f"cells/{place}/{seed}" for seed in known},
                )
            )
    derived = derive("drop of " + rows[0], entries, of=rows[0], minus=rows[-1]) if entries else ()
    fields = {"name": "own", "title": "A study", "unskip": "1", "seconds": 7, "counted": (), "conclusions": (), **other}
    return Study(seeds=seeds, cells=cells, entries=entries, derived=derived, **fields)


def studies():
    """By name, one of each kind that the page must do."""
    whole = study()
    cells = [cell.model_copy(update={"state": "missing", "why": ""}) for cell in whole.cells]
    nothing = {key: {} for key in ("measured", "runs", "curve", "minutes")}
    bare = [each.model_copy(update=nothing) for each in whole.entries]
    derived = [each.model_copy(update={"measured": {}}) for each in whole.derived]
    unmeasured = {"cells": tuple(cells), "entries": tuple(bare), "derived": tuple(derived)}
    rows, columns = [f"from R-g{number}" for number in range(8)], [f"student {number}" for number in range(9)]
    return {
        "whole": whole,
        "quick": study(quick=True, reduced="14 layers for 18, 8 epochs"),
        "one seed": study_with(["A", "B"], ["x"], (4,), conclusions=(Conclusion(better="A", than="B"),), printed=91.0),
        "nothing yet": whole.model_copy(update=unmeasured),
        "no rows": study(entries=[], derived=[], cells=[], conclusions=[], counted=[]),
        "wide": study_with(rows, columns, (0, 1), missing={(2, 0), (2, 1)}),
        "hostile": study_with(
            [HOSTILE, SIGNS, "[1]", "*"],
            [SIGNS, "a\nb", HOSTILE],
            (0, 1),
            printed=5.25,
            title=HOSTILE,
            source=SIGNS,
            conclusions=(Conclusion(better="[1]", than="*", statement=HOSTILE),),
            counted=(Counted(name=SIGNS, row=HOSTILE, above=80.0, below=95.5),),
        ),
    }


STUDIES = studies()


@functools.cache
def page_of(name):
    return Page(render_study(STUDIES[name]))


@pytest.fixture(params=list(STUDIES))
def page(request):
    return page_of(request.param)


def told(record, part):
    return " ".join(sentences(record, part)).replace("\N{NO-BREAK SPACE}", " ")


def printed(record, width=80):
    console = Console(width=width, file=io.StringIO())
    show_study(record, console)
    return console.file.getvalue()


def test_a_page_is_well_formed_and_loads_nothing(page):
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src"
        if name in {"href", "xlink:href"}:
            assert value.startswith("#") or value.endswith("/report.html")
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for name, value in page.attributes if name == "aria-labelledby"} <= set(ids)
    for head, *rows in page.tables:
        assert all(len(row) == len(head) for row in rows)


def test_a_place_has_mean_spread_number_printed_and_gap():
    figures = page_of("whole").tables[0]
    assert figures[0][1:] == ["18 layers", "34 layers"]
    rows = {row[0]: row[1:] for row in figures[1:]}
    assert rows["AlignKD"] == ["92.93 ± 0.15 (3) printed 92.97 gap −0.04", "92.05 ± 0.21 (2)"]
    assert rows["JointRD"][1] == "91.65 ± 0.92 (2) printed 92.41 gap −0.76"
    assert rows["drop teacher less AlignKD, points"][0].startswith("+0.30 ± 0.10 (3) printed +0.60")
    assert rows["AlignKD, minutes training, minutes"][0] == "1.60 ± 0.10 (3) printed 94 gap −92.40"


def test_the_order_is_beside_its_interval_and_what_is_printed():
    conclusions = page_of("whole").tables[1]
    assert conclusions[1] == ["18 layers", "+0.63", "+0.25 to +1.01", "3", "holds", "−0.02"]
    assert conclusions[2][3:] == ["2", "not shown", "–"]
    assert conclusions[3][0] == "both together"
    assert "one by one it holds in 1, is reversed in 0 and not shown in 1" in told(study(), "conclusions")
    alone = STUDIES["one seed"]
    assert "not shown" in told(alone, "conclusions")
    assert "Warning: one seed" in told(alone, "incomplete")


def test_a_net_at_chance_is_marked_wherever_its_figure_stands():
    whole = study()
    entries = [each.model_copy(update={"at_chance": (0, 2)} if each.row == "JointRD" else {}) for each in whole.entries]
    lost = whole.model_copy(update={"entries": tuple(entries[:3])})
    (entry,) = [row.entries[0] for row in figures_table(lost).rows if row.content.label == "JointRD"]
    assert entry[-1] == "at chance in 2 of 3"
    for text in (render_study(lost), " ".join(printed(lost).split()), as_tex(lost), as_markdown(lost)):
        assert "JointRD, 18 layers (in 2 of 3)" in text
        assert "guessing" in text
    assert "guessing" not in as_markdown(whole)
    assert told(STUDIES["wide"], "chance") == ""


def test_an_order_in_some_columns_says_in_which():
    some_columns = study(conclusions=[Conclusion(better="AlignKD", than="JointRD", columns="18*")])
    assert "AlignKD better than JointRD in 18…, 18 layers: holds" in told(some_columns, "conclusions")


def test_what_is_counted_is_said_of_both():
    gains = study(counted=[Counted(name="small drops", row="drop", below=0.7, above=0.1)])
    assert "above 0.1 and below 0.7 in 1 of 1 columns (18 layers); printed in 1 of 1" in told(gains, "counted")


def test_what_failed_and_what_is_missing_is_said_first():
    text = page_of("whole").text
    words = "Warning: 1 of 6 runs failed: net=34 layers, seed 2 (the disk is full)"
    assert 0 < text.index(words) < text.index("Negative drops")
    assert words in " ".join(printed(study()).split())
    assert "6 of 6 runs are not there" in page_of("nothing yet").text


def test_a_quick_form_never_has_the_name_of_the_full_one():
    record = STUDIES["quick"]
    assert figures_table(record).rows[0].entries[0] == ("93.23", "± 0.15 (3)", "full form 93.57")
    for text in (page_of("quick").text, printed(record, 200), as_tex(record), as_markdown(record)):
        start = text.index("Quick form of Plain networks on CIFAR")
        assert re.search(r"reduced: 14 layers", text[start : start + 120])
        assert not re.search(r"(?<!Quick form of )Plain networks", text)
        assert not re.search(r"gap [+−\d]|the gap", text)
    assert "printed_of_full_form" in as_csv(record)


def test_figures_lead_to_their_runs():
    page = page_of("whole")
    links = [value for name, value in page.attributes if name == "href" and value.endswith("report.html")]
    record = study()
    assert len(links) == sum(len(entry.measured) for entry in record.entries) + 5
    assert set(links) == {
        f"cells/net%3D{net}/seed-{seed}/report.html" for net in (18, 34) for seed in range(3) if (net, seed) != (34, 2)
    }


def test_curves_are_drawn_for_each_column_with_every_seed():
    said = [value for name, value in page_of("whole").attributes if name == "aria-label"]
    assert [each.split(".")[0] for each in said] == [f"Accuracy by epoch, {net} layers" for net in (18, 34)]
    assert "AlignKD 92.9" in said[0]
    assert curve_drawings(STUDIES["wide"]) == []


def test_the_mean_curve_is_at_the_epochs_of_all_seeds():
    assert mean_curve({0: ((1, 10.0), (2, 30.0), (3, 50.0)), 1: ((2, 40.0), (3, 60.0))}) == [(2, 35.0), (3, 55.0)]
    assert mean_curve({0: ((1, 10.0),), 1: ()}) == [(1, 10.0)]
    assert mean_curve({0: ((1, 10.0),), 1: ((2, 20.0),)}) == []


def test_the_csv_has_a_line_for_every_figure_and_seed():
    record = study()
    lines = list(csv.DictReader(io.StringIO(as_csv(record))))
    assert len(lines) == sum(len(each.measured) for each in record.everything)
    first = lines[0]
    assert (first["row"], first["column"], first["seed"], float(first["measured"])) == (
        "teacher",
        "18 layers",
        "0",
        93.1,
    )
    assert (first["printed"], first["run"]) == ("93.57", "cells/net=18/seed-0")
    assert lines[-1]["computed"] == "teacher less AlignKD"


def test_writing_makes_all_files_again_from_the_record(tmp_path):
    (tmp_path / "study.json").write_text(study().model_dump_json())
    assert write_study(tmp_path) == tmp_path / "study.html"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"study.json", "study.html", "study.csv", "study.tex", "study.md"}
    write_study(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "study.html").unlink()
    again = CliRunner().invoke(app(), ["report", str(tmp_path)])
    assert again.exit_code == 0, again.output
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UnskipError, match="missing"):
        write_study(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", list(STUDIES))
@pytest.mark.parametrize("width", [80, 60])
def test_the_terminal_keeps_to_its_width(name, width):
    assert max(map(cell_len, printed(STUDIES[name], width).splitlines())) <= width


def test_a_wide_table_is_whole_in_the_terminal():
    text = printed(STUDIES["wide"])
    for number in range(9):
        assert f"student {number}" in text


def markdown_rows(text):
    """Those of the first table, split where Markdown does."""
    lines = text.split("\n|---", 1)[1].splitlines()
    rows = lines[1 : lines.index("", 1)]
    return [re.split(r"(?<!\\)(?:\\\\)*\|", row)[1:-1] for row in rows]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(["<", "0\r"], ["a\rb"])
@given(some.lists(LABELS, min_size=2, max_size=3, unique=True), some.lists(LABELS, min_size=1, max_size=3, unique=True))
def test_labels_are_labels_whatever_is_in_them(rows, columns):
    record = study_with(
        rows, columns, (0, 1), conclusions=(Conclusion(better=rows[0], than=rows[1], statement=columns[0]),)
    )
    assert all(len(row) == 1 + len(columns) for row in markdown_rows(as_markdown(record)))
    page = Page(render_study(record))
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    lines = list(csv.DictReader(io.StringIO(as_csv(record), newline="")))
    assert {line["row"] for line in lines} >= set(rows)
    assert {line["column"] for line in lines} == set(columns)
    assert max(map(cell_len, printed(record).splitlines())) <= 80
    as_tex(record)


@given(some.text(max_size=30))
def test_text_in_latex_is_ascii_without_active_signs(text):
    escaped = tex_text(text)
    assert escaped.isascii()
    known = r"\\text\w+\{\}|\{\\ttfamily\\char\d+\}|\\[{}$&#%_]|\$\\?\w*-?\$|\{\}|~"
    assert not re.search(r"[\\{}$&#%_^~<>|\"`]", re.sub(known, "", escaped))


def test_signs_that_would_join_are_kept_apart():
    assert tex_text("a--b 'c''") == "a-{}-b 'c'{}'"
    assert tex_text("NR-g2, 50 % ± 1 ≥ 雪") == r"NR-g2, 50 \% $\pm$ 1 [U+2265] [U+96EA]"


def test_latex_compiles_by_itself(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    names = []
    for number, record in enumerate(STUDIES.values()):
        names.append(f"study{number}")
        (tmp_path / f"study{number}.tex").write_text(as_tex(record), encoding="utf-8")
    inputs = "\n".join(rf"\input{{{name}}}" for name in names)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + inputs + "\n\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000
