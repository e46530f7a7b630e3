"""Several runs beside each other: what is said, and what is not."""

from io import StringIO

import pytest
from records.samples import past_runs
from rich.cells import cell_len
from rich.console import Console

from report.pages import Page
from unskip.report.pages import render_past_runs
from unskip.report.sentences import sentences
from unskip.report.terminal import show_past_runs

SETS = past_runs()


def test_the_best_student_is_named_where_all_were_judged_alike():
    (said,) = sentences(SETS["complete"], "headline")
    assert said.replace("\N{NO-BREAK SPACE}", " ").startswith(
        "first:align_kd has the highest Top-1 of all students, 91.0 %"
    )
    page = Page(render_past_runs(SETS["complete"]))
    best = [row[0] for row in page.tables[0] if "best student" in row[0]]
    assert len(best) == 1
    assert best[0].startswith("first:align_kd")


@pytest.mark.parametrize(("name", "words"), [("other images", "359"), ("other task", "not the same measure")])
def test_scores_that_cannot_be_compared_are_not(name, words):
    record = SETS[name]
    assert "cannot be compared" in " ".join(sentences(record, "headline"))
    notes = sentences(record, "notes")
    assert any(note.startswith("Warning") and words in note for note in notes)
    page = Page(render_past_runs(record))
    assert "best student" not in page.text
    assert "Not beaten in both" not in page.html


def test_a_run_that_is_not_complete_is_shown_as_far_as_it_is():
    record = SETS["stopped"]
    assert any(
        "stopped is not complete: teacher 5 of 5 epochs, kd 3 of 5" in note for note in sentences(record, "notes")
    )
    page = Page(render_past_runs(record))
    row = next(row for row in page.tables[0] if row[0].startswith("stopped:kd"))
    assert "epoch 3 of 5" in row[0]
    assert any("stopped " in value for name, value in page.attributes if name == "aria-label")


def test_no_latency_is_compared_within_rounds_that_were_not_shared():
    titles = Page(render_past_runs(SETS["complete"])).tables[0][0]
    assert any(title.startswith("Latency") for title in titles)
    assert not any(title.startswith("Times as fast") for title in titles)


@pytest.mark.parametrize("name", list(SETS))
def test_the_terminal_keeps_to_its_80_columns(name):
    console = Console(width=80, file=StringIO())
    show_past_runs(SETS[name], console)
    assert max(map(cell_len, console.file.getvalue().splitlines())) <= 80
