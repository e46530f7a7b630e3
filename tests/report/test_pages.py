"""The pages of runs and benchmarks, as a browser reads them."""

import json
import re
import subprocess
import sys
import warnings
from functools import cache
from html import unescape
from io import StringIO
from pathlib import Path

import pytest
from records.samples import (
    HOSTILE,
    REASON,
    bench,
    benches,
    changed,
    one_training,
    past_runs,
    run,
    runs,
)
from rich.console import Console

from report.pages import Page
from unskip.errors import UnskipError
from unskip.records import About, Figure
from unskip.report.lines import setting_of
from unskip.report.pages import render, render_bench, render_past_runs, report_of, write_bench_report, write_report
from unskip.report.sentences import sentences
from unskip.report.terminal import show_bench, show_run

RECORDS = {f"run {name}": record for name, record in runs().items()}
RECORDS |= {f"bench {name}": record for name, record in benches().items()}
RECORDS |= {"unfinished run": run()}
RECORDS |= {f"past {name}": record for name, record in past_runs().items()}


@pytest.fixture(scope="module", params=list(RECORDS))
def page(request) -> Page:
    return page_of(request.param)


@cache
def page_of(name: str) -> Page:
    """The page of one of `RECORDS`, which takes a second, drawn once for all tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kinds = {"bench": render_bench, "past": render_past_runs, "run": render, "unfinished": unfinished}
        return Page(kinds[name.partition(" ")[0]](RECORDS[name]))


def unfinished(record) -> str:
    return render(record, to_come=["fade_kd"])


def values(page: Page, name: str) -> list[str]:
    return [value for key, value in page.attributes if key == name]


def test_a_page_is_well_formed_and_loads_nothing(page):
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href", "action", "srcset", "data"}:
            assert value.startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"https?://|@import|url\((?!#)", page.html)


def test_ids_are_unique_and_references_lead_somewhere(page):
    ids = values(page, "id")
    assert len(ids) == len(set(ids))
    assert set(values(page, "aria-labelledby")) <= set(ids)


def test_plots_have_alternative_texts(page):
    labels = values(page, "aria-label")
    assert len(labels) == page.tags.count("svg") == len(values(page, "viewbox"))
    assert all(labels)


def test_tables_have_an_entry_for_every_column(page):
    for table in page.tables:
        head, *rows = table
        for row in rows:
            assert len(row) == len(head) or row[1].startswith("Not measured: ")


def test_every_net_is_there_with_its_figures():
    record = run()
    (nets, files, *_) = page_of("run standard").tables
    assert [row[0].split()[0] for row in nets[1:]] == [net.label for net in record.nets]
    titles = [head.split(" ")[0] for head in nets[0]]
    for net, row in zip(record.nets, nets[1:], strict=True):
        assert row[titles.index("Top-1")].split()[0] == f"{100 * record.score(net):.2f}"
        assert ("best student" in row[0]) == (net.label == record.best)
    assert {"464.2", "69.12", "192.0"} <= set(nets[1])
    assert "1.42 1.32 to 1.62" in files[1]
    assert "1.08× 1.06 to 1.11" in files[-1]


def test_a_measure_of_ones_own_is_in_every_table_and_with_its_definition():
    own = {"energy": About(title="Energy", unit="mJ", better="lower", kind="time", definition="Energy: what it takes")}
    record = bench()
    record = changed(record, measures=record.measures | own)
    record = changed(record, "groups", 0, "cells", "plain", "figures", energy=Figure(value=12.5))
    page = Page(render_bench(record))
    table = next(table for table in page.tables if any(head.startswith("Energy") for head in table[0]))
    assert "12.50" in table[2]
    assert "Energy: what it takes." in page.text
    console = Console(width=100, file=StringIO())
    show_bench(record, console, details=True)
    assert "12.50" in console.file.getvalue()


def test_a_page_of_an_unfinished_run_has_no_files():
    record = run()
    whole, so_far = page_of("run standard"), page_of("unfinished run")
    assert so_far.tables[0] == whole.tables[0]
    assert len(so_far.tables) < len(whole.tables)
    assert f"{len(record.students)} of {len(record.students) + 1} students are trained. To come: fade_kd" in so_far.text


def test_the_first_screen_says_accuracy_cost_and_risk():
    page = page_of("run with_answers")
    first = page.text.partition("Nets")[0]
    places = [first.index(word) for word in ("Accuracy", "Cost", "Risk", "Worst class: truck", "Most lost: truck")]
    assert places == sorted(places)
    assert page.tags.count("img") == 12
    assert "img-src data:" in page.html
    alone = page_of("run standard")
    assert "Worst class" not in alone.text
    assert "img-src" not in alone.html


def test_a_terminal_shows_what_decides_and_the_rest_when_it_is_asked():
    short, long = (Console(width=400, file=StringIO()) for _ in range(2))
    show_bench(bench(), short)
    show_bench(bench(), long, details=True)
    assert len(short.file.getvalue()) < len(long.file.getvalue()) / 2
    for word, unasked in (("Latency", True), ("Peak memory", True), ("Parity", False), ("Throughput", False)):
        assert (word in short.file.getvalue()) == unasked
        assert word in long.file.getvalue()


def test_a_notebook_shows_the_page_of_a_result(tmp_path):
    record = run()
    page = report_of(record)
    assert page.html == page_of("run standard").html
    assert unescape(page._repr_html_().split('srcdoc="')[1].split('" style')[0]) == page.html
    assert report_of(bench()).html == page_of("bench standard").html
    (tmp_path / "run.json").write_text(json.dumps(record.model_dump(mode="json")))
    assert report_of(tmp_path).html == page.html
    with pytest.raises(UnskipError, match="finished run"):
        report_of(tmp_path / "other")


def test_a_measure_that_nobody_has_is_left_out():
    assert "Latency" in page_of("run standard").text
    assert "Latency" not in page_of("run no_latency").text
    assert "Device" not in page_of("bench standard").text
    assert "47.68" in page_of("bench cuda").text


def test_scores_are_drawn_against_costs_where_both_are_known():
    def drawn(name) -> list[str]:
        return [label for label in values(page_of(name), "aria-label") if "Not beaten in both" in label]

    assert [label.partition(":")[0] for label in drawn("run standard")] == [
        "Top-1 against Peak memory, KiB",
        "Top-1 against Latency, ms",
    ]
    assert len(drawn("run no_latency")) == 1
    assert len(drawn("bench standard")) == 4
    assert drawn("bench unknown") == []


def test_what_could_not_be_measured_has_its_reason():
    assert "Not measured: plain.onnx takes batches of 2, not of 1." in page_of("bench refused").text
    text = page_of("bench unknown").text
    assert f"Arena: {REASON}." in text
    assert "Top-1: the weights are random." in text


def test_a_busy_machine_is_said_at_the_head_of_both_pages_and_in_the_terminal():
    busy = benches()["busy"]
    record = changed(run(), "comparison", load=busy.load)
    for page in (page_of("bench busy"), Page(render(record))):
        assert page.text.index(busy.load.warning) < page.text.index("Parameters")
    for show, what in ((show_bench, busy), (show_run, record)):
        console = Console(width=400, file=StringIO())
        show(what, console)
        assert busy.load.warning in console.file.getvalue()
    assert "load average 3.1" not in page_of("bench standard").text


def test_the_terminal_has_a_table_of_the_files_of_a_run_as_of_a_benchmark():
    record = run()
    console = Console(width=400, file=StringIO())
    show_run(record, console)
    printed = console.file.getvalue()
    for group in record.comparison.groups:
        assert setting_of(group) in printed
        for cell in group.cells:
            assert f"{cell.figures['latency'].value:.2f}" in printed.partition(setting_of(group))[2]


def test_long_labels_are_numbers_in_the_tables_of_a_narrow_terminal():
    record = bench()
    long = f"{record.subjects[1].label}+with_lean_stem+without_shortcuts"
    cells = [changed(group, cells=(group.cells[0], changed(group.cells[1], subject=long))) for group in record.groups]
    record = changed(
        record, subjects=(record.subjects[0], changed(record.subjects[1], label=long)), groups=tuple(cells)
    )
    printed = {}
    for width in (80, 400):
        console = Console(width=width, file=StringIO())
        show_bench(record, console)
        printed[width] = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert f"1 {long}" in printed[80]
    rows = [line for line in printed[80] if line.startswith("1 ") and long not in line]
    assert len(rows) >= len(record.groups)
    assert not any(line.startswith("1 ") for line in printed[400])


def test_chance_comes_before_everything_else():
    text = " ".join(sentences(run(align_kd=0.1), "headline"))
    assert "At chance" in text
    assert "align_kd 10.0" in text
    assert "At chance" not in " ".join(sentences(run(), "headline") + sentences(run(), "notes"))
    assert any("At chance" in note and "ce" in note for note in sentences(run(ce=0.1), "notes"))


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        ({}, ["resnet32 without shortcuts, ", "align_kd", "Top-1 91.0", "2.4 points below", "15 shortcuts"]),
        ({"shortcuts": 3}, ["3 shortcuts, "]),
        ({"net": "resnet20"}, ["resnet20"]),
    ],
)
def test_the_headline_names_the_edit_and_what_it_came_to(change, figures):
    (headline,) = sentences(changed(run(), "comparison", "subjects", "align_kd", **change), "headline")
    for figure in figures:
        assert figure in headline.replace("\N{NO-BREAK SPACE}", " ")


def test_notes_say_how_far_to_trust_the_figures():
    def notes(record) -> str:
        return " ".join(sentences(record, "notes"))

    assert "Seed 0, 10,000 test images: differences up to 0.8 points" in notes(run())
    assert "two standard errors" not in notes(runs()["matching"])
    assert "teacher was not trained" in notes(runs()["reused_teacher"])
    assert "ce 10 epochs, align_kd 30" in notes(changed(run(), "nets", "ce", epochs=10))
    assert "align_kd" in notes(runs()["diverged"]).partition("finite")[2]
    assert "2 of teacher's modules" in notes(changed(run(), "comparison", "subjects", "teacher", unopened=2))
    assert "embedded_kd-2-2-2 90.2" in notes(one_training()).replace("\N{NO-BREAK SPACE}", " ")


def test_text_of_users_is_only_ever_text():
    for page in (page_of("run hostile"), page_of("bench hostile")):
        assert "<script" not in page.html
        assert page.text.count(HOSTILE.strip()) > 4
        assert any(HOSTILE[:20] in label for label in values(page, "aria-label"))


def test_settings_data_and_environment_are_there():
    text = page_of("run standard").text
    for piece in ("batch_size: 128", "airplane, automobile", "9f2c41d07ab3e865", "AMD EPYC 9554", "3×32×32"):
        assert piece in text
    assert "Started 2026-03-02 09:14 UTC, took 23 min 04 s, seed 0." in text


def test_write_report_leaves_one_file_and_the_same_bytes(tmp_path):
    (tmp_path / "run.json").write_text(run().model_dump_json())
    (tmp_path / "report.html").write_text("old")
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text() == page_of("run standard").html
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "run.json"]


def test_the_page_of_a_benchmark_appears_in_a_folder_of_its_own(tmp_path):
    write_bench_report(bench(), tmp_path / "deep" / "bench.html")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bench.html"]


def test_half_a_character_does_not_stop_the_report(tmp_path):
    plain = json.loads(run(("kd",)).model_dump_json().replace('"kd"', '"lone kd"')) | {"title": "\ud800"}
    (tmp_path / "run.json").write_text(json.dumps(plain).replace("lone kd", "\\ud800 kd"))
    assert "kd" in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_run_that_cannot_be_read_leaves_the_old_report(tmp_path):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(UnskipError, match="unskip run"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"


def test_the_report_needs_no_torch():
    # unskip itself may import torch; a bare package in its place shows what the report alone needs.
    source = Path(sys.modules["unskip.report"].__path__[0]).parent
    code = (
        "import sys, types; unskip = types.ModuleType('unskip'); "
        f"unskip.__path__ = [{str(source)!r}]; sys.modules['unskip'] = unskip; "
        "import unskip.report.pages, unskip.report.terminal; print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_rounds_are_told_of_what_was_timed():
    for timed, untimed in (("run standard", "run no_latency"), ("bench standard", "bench untimed")):
        assert "Latencies are of" in page_of(timed).html
        assert "Latencies are of" not in page_of(untimed).html
