import re

import pytest
from pages import Page
from sample_benches import REASON, bench, variants
from sample_runs import HOSTILE

from unskip.report.bench_page import render_bench, write_bench_report
from unskip.report.bench_record import Bench
from unskip.report.bench_tables import NO_DIFFERENCE, conclusions, footnotes, headline, rows

VARIANTS = variants()


def read(name: str) -> Bench:
    return Bench.model_validate(VARIANTS[name])


def text_of(name: str) -> str:
    return Page(render_bench(read(name))).text


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_is_well_formed_and_loads_nothing(name):
    html = render_bench(read(name))
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    ids = [value for key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert {value for key, value in page.attributes if key == "aria-labelledby"} <= set(ids)
    labels = [value for key, value in page.attributes if key == "aria-label"]
    assert len(labels) == page.tags.count("svg")
    assert all(labels)


def test_every_figure_is_there():
    text = text_of("standard")
    for figure in (
        "1.42 1.32 to 1.62",
        "1.31 1.21 to 1.51",
        "1.08× 1.06 to 1.11",
        "192.0",
        "128.0",
        "1.50× less",
        "91.00",
    ):
        assert figure in text
    assert "ONNX Runtime 1.31.1, 2 threads, batch 1" in text
    assert "2.1e\N{MINUS SIGN}6" in text
    assert "50 rounds over 3 fresh processes" in text


def test_plots_are_drawn_where_accuracies_are_known():
    drawn = {
        name: [label for key, label in Page(render_bench(read(name))).attributes if key == "aria-label"]
        for name in ("standard", "unknown")
    }
    against = [label.partition(":")[0] for label in drawn["standard"] if "accuracy against" in label]
    assert against == 2 * ["Top-1 accuracy against forecast peak, KiB", "Top-1 accuracy against latency, ms"]
    assert any("Live feature maps" in label for label in drawn["standard"])
    assert not any("accuracy against" in label for label in drawn["unknown"])


def test_a_ratio_that_covers_one_is_never_without_the_words():
    record = read("standard")
    shown, not_shown = (rows(record, group)[1].figures[2] for group in record.groups)
    assert (shown.text, shown.below) == ("1.08×", ("1.06 to 1.11",))
    assert (not_shown.text, not_shown.below) == ("1.01×", ("0.97 to 1.04", NO_DIFFERENCE))
    assert conclusions(record) == [
        "plain, peak of feature maps beside residual: 1.50× less by the forecast, 1.53× less by the arena.",
        "plain, times as fast as residual: 1.08× in ONNX Runtime, 1 thread, batch 1; "
        "no difference shown in 1 other setting.",
    ]
    assert headline(record) == "plain runs 1.08× as fast as residual in ONNX Runtime 1.31.1, 1 thread, batch 1"
    equal = bench()
    equal["groups"] = equal["groups"][1:]
    assert headline(Bench.model_validate(equal)).startswith(
        "No difference in latency is shown between plain and residual"
    )


def test_slower_is_said_as_a_ratio_below_one():
    slower = bench()
    slower["groups"][0]["cells"][1]["ratio"] |= {"median": 0.8, "p10": 0.7, "p90": 0.9}
    assert headline(Bench.model_validate(slower)).startswith("plain runs 0.80× as fast as residual")


def test_what_could_not_be_measured_has_its_reason_and_no_number():
    text = text_of("refused")
    assert "Not measured: plain.onnx takes batches of 2, not of 1." in text
    unknown = read("unknown")
    assert [figure.text for figure in rows(unknown, unknown.groups[0])[0].figures[3:6]] == ["–", "–", "–"]
    assert footnotes(unknown.groups[0]) == [
        f"Arena unknown: {REASON}.",
        "No accuracy: the weights are random.",
        "No parity: the file was not exported here.",
    ]


def test_one_file_alone():
    assert (
        headline(read("alone")).replace("\N{NO-BREAK SPACE}", " ").startswith("residual takes 1.42 ms in ONNX Runtime")
    )
    assert conclusions(read("alone")) == []


def test_a_busy_machine_and_notes_are_said_first():
    text = text_of("busy")
    assert text.index("Warning: other processes load this machine.") < text.index("The images differ in their shape.")
    assert "Warning" not in text_of("standard")


def test_a_device_has_a_column_of_its_own():
    text = text_of("cuda")
    assert "ONNX Runtime 1.31.1, cuda, 1 thread, batch 1" in text
    assert "47.68" in text
    assert "Device" not in text_of("standard")


def test_text_of_users_is_only_ever_text():
    html = render_bench(read("hostile"))
    assert "<script" not in html
    assert Page(html).text.count(HOSTILE.strip()) > 4


def test_the_same_figures_give_the_same_bytes(tmp_path):
    write_bench_report(read("standard"), tmp_path / "deep" / "bench.html")
    first = (tmp_path / "deep" / "bench.html").read_bytes()
    write_bench_report(read("standard"), tmp_path / "deep" / "bench.html")
    assert (tmp_path / "deep" / "bench.html").read_bytes() == first
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bench.html"]
