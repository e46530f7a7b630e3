import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from pages import Page
from sample_runs import HOSTILE, run, variants

from unskip.errors import UnskipError
from unskip.report import write_report
from unskip.report.page import render
from unskip.report.record import Run

VARIANTS = variants()


@pytest.fixture(scope="module", params=list(VARIANTS))
def rendered(request) -> tuple[Run, str]:
    record = Run.model_validate(VARIANTS[request.param])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return record, render(record)


def test_the_page_is_well_formed_and_loads_nothing(rendered):
    _, html = rendered
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href", "action", "srcset", "data"}:
            assert value.startswith("#")
    assert not re.search(r"https?://|@import|url\((?!#)", html)


def test_ids_are_unique_and_references_lead_somewhere(rendered):
    page = Page(rendered[1])
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for name, value in page.attributes if name == "aria-labelledby"} <= set(ids)


def test_every_net_is_there_with_its_numbers(rendered):
    record, html = rendered
    text = Page(html).text
    for net in record.nets:
        assert " ".join(net.label.split()) in text
        assert f"{100 * net.top1:.2f}" in text
        if net.top5 is not None:
            assert f"{100 * net.top5:.2f}" in text
        if net.latency is not None:
            assert f"{net.latency.median_ms:.2f} {net.latency.low_ms:.2f} to {net.latency.high_ms:.2f}" in text
    assert f"{record.best} best student" in text
    for number in (
        "464.2",
        "461.9",
        "69.12",
        "68.86",
        "1.80",
        "1.77",
        "2.1e\N{MINUS SIGN}6",
        "1.0e\N{MINUS SIGN}4",
        "256",
    ):
        assert number in text


def test_accuracy_is_drawn_against_memory_and_latency(rendered):
    record, html = rendered
    labels = [value for name, value in Page(html).attributes if name == "aria-label"]
    costs = [label for label in labels if label.startswith("Top-1 accuracy against") and "Not beaten in both" in label]
    assert len(costs) == (2 if record.latency else 1)
    for net in record.nets:
        assert all(" ".join(net.label.replace("\x07", "").split()) in label for label in costs)


def test_plots_have_alternative_texts(rendered):
    page = Page(rendered[1])
    assert page.tags.count("svg") == [name for name, _ in page.attributes].count("viewbox") > 3
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert len(labels) == page.tags.count("svg")
    assert all(labels)


def test_text_of_users_is_only_ever_text():
    html = render(Run.model_validate(VARIANTS["hostile"]))
    page = Page(html)
    assert "<script" not in html
    assert page.text.count(HOSTILE.strip()) > 8
    assert any(HOSTILE[:20] in value for name, value in page.attributes if name == "aria-label")
    assert "日本語" in page.text


def test_what_was_not_measured_is_not_shown():
    text = Page(render(Run.model_validate(VARIANTS["no_latency"]))).text
    assert "ONNX Runtime" not in text
    assert "Latency was not measured." in text
    assert "Top-5" not in Page(render(Run.model_validate(VARIANTS["one_method"]))).text


def test_a_net_without_a_file_has_no_parity():
    record = run()
    for net in record["nets"]:
        net |= {"file": None, "file_bytes": None, "parity": None}
    assert "Exported files" not in Page(render(Run.model_validate(record))).text


def test_a_file_beyond_its_tolerance_is_pointed_out():
    record = run()
    assert "above the tolerance" not in render(Run.model_validate(record))
    record["nets"][1]["parity"]["max_difference"] = 0.02
    assert render(Run.model_validate(record)).count("above the tolerance") == 1


def test_nets_of_one_training_are_told_apart():
    text = Page(render(Run.model_validate(VARIANTS["one_training"]))).text
    assert "resnet32, 2-2-2 blocks, 6 shortcuts" in text
    assert text.count("with embedded_kd-full") == 2, "the time of a training is shown once"
    assert "A dot without a line" in text
    assert "A dot without a line" not in Page(render(Run.model_validate(VARIANTS["standard"]))).text


def test_settings_data_and_environment_are_there():
    text = Page(render(Run.model_validate(run()))).text
    for piece in (
        "batch_size: 128",
        "airplane, automobile",
        "9f2c41d07ab3e865",
        "AMD EPYC 9554",
        "3 × 32 × 32",
    ):
        assert piece in text
    assert "Started 2026-03-02 09:14 UTC, took 23 min 04 s, seed 0." in text


def test_write_report_leaves_one_file_and_the_same_bytes(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(run()))
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    first = path.read_bytes()
    assert write_report(tmp_path).read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "run.json"]


def test_half_a_character_does_not_stop_the_report(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({**run(("\ud800 kd",)), "title": "\ud800"}))
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
        "import unskip.report.page; print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_parity_of_constant_answers_says_so():
    record = run(("kd",))
    record["nets"][1]["parity"]["constant"] = True
    assert "100.0 % of 256 images, all answered alike: it says nothing" in Page(render(Run.model_validate(record))).text
