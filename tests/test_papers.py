"""Every count that the papers print is the count of this project's networks, or a slip that is explained."""

import dataclasses
import json
import sys

import pytest
import torch

from unskip import papers
from unskip.cli import main
from unskip.dataflow import CONVENTIONS, count_macs
from unskip.errors import UnskipError
from unskip.papers import CheckedCount, check_counts, counted_net, printed_counts, summary
from unskip.papers import counts as papers_counts
from unskip.surgery import build
from unskip.torchvision_compat import torchvision

CELLS = printed_counts()
FIRST = next(cell for cell in CELLS if cell.metric == "params")


@pytest.fixture(scope="module")
def checked():
    return check_counts()


def command(monkeypatch, capsys, *arguments):
    """Run the command; its exit code, and what it printed with white space single."""
    monkeypatch.setattr(sys, "argv", ["unskip", "counts", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out, " ".join(printed.err.split())


def test_every_count_is_exact(checked):
    assert [item.cell for item in checked] == CELLS
    assert {item.cell: item.computed for item in checked} == {cell: cell.exact for cell in CELLS}


def test_a_count_matches_or_has_a_note(checked):
    slips = [item.cell for item in checked if not item.matches]
    assert (len(checked), len(slips)) == (250, 3)
    assert slips == [cell for cell in CELLS if cell.note]
    assert not any(item.is_failure for item in checked)
    assert summary(checked).startswith("247 of 250 printed counts match; 3 are slips")


def test_the_note_on_resnet50_is_true():
    net = torchvision.models.resnet50()
    for layer in (net.layer2, net.layer3, net.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    (note,) = [cell.note for cell in CELLS if cell.network == "ResNet-50" and cell.note]
    assert f"{count_macs(net, (3, 224, 224)) / 1e9:.3f} G" in note


@pytest.mark.parametrize("cell", [CELLS[0], CELLS[1], CELLS[17], CELLS[-1]], ids=lambda cell: cell.network)
def test_the_network_behind_a_figure_can_be_built_and_run(cell):
    counted = counted_net(cell)
    assert counted.convention in CONVENTIONS
    logits = build(counted.spec, seed=0).eval()(torch.zeros(1, *counted.input_shape))
    assert logits.shape == (1, counted.spec.options["num_classes"])


def test_a_network_is_told_by_its_table():
    """EKD-DDNN has two nets that are called ResNet-44."""
    nets = {counted_net(cell).spec.source for cell in CELLS if cell.network == "ResNet-44"}
    assert nets == {"resnet44", "resnet44-bottleneck"}


@pytest.mark.parametrize(
    ("computed", "printed", "matches"),
    [
        (1_250_000, "1.3", True),  # half up, where floats and banker's rounding give 1.2
        (1_249_999, "1.2", True),
        (1_250_000, "1.2", False),
        (1_250_000, "1.25", True),
        (1_250_000, "1.250", True),
        (15_960_000, "16", True),
        (15_499_999, "16", False),
    ],
)
def test_a_count_is_rounded_to_the_printed_digits(computed, printed, matches):
    assert CheckedCount(dataclasses.replace(FIRST, unit="M", printed=printed), computed).matches is matches


def test_progress_ends_with_all():
    told = []
    check_counts("stagewise-kd", lambda *done: told.append(done))
    assert told == [(2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]


def test_an_unknown_paper_is_refused(monkeypatch, capsys):
    with pytest.raises(UnskipError, match="did you mean 'stagewise-kd'"):
        check_counts("stagewise")
    code, out, err = command(monkeypatch, capsys, "--paper", "stagewise")
    assert (code, out) == (2, "")
    assert err.startswith("unskip: no counts of a paper 'stagewise'; did you mean 'stagewise-kd'?")


def test_the_command_explains_the_slips_of_a_paper(monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, "--paper", "ekd-ddnn")
    assert code == 0
    assert "ekd-ddnn 2   ResNet-18 2-2-2-2 R params    11.7 M    11,689,512 yes" in out
    said = " ".join(out.split())
    for cell in printed_counts("ekd-ddnn"):
        assert cell.note in said
    assert said.endswith("21 of 24 printed counts match; 3 are slips of the papers, explained above.")


def test_the_table_fits_eighty_columns(checked, monkeypatch, capsys):
    from rich.console import Console

    papers.render(checked, Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.rstrip().endswith((" yes", " slip")) for line in lines) == len(checked)
    assert "…" not in "".join(lines)


def test_a_wrong_count_ends_with_exit_code_1(monkeypatch, capsys):
    wrong = dataclasses.replace(FIRST, printed="0.657")
    monkeypatch.setattr(papers_counts, "printed_counts", lambda paper: [wrong])
    code, out, _ = command(monkeypatch, capsys)
    assert code == 1
    said = " ".join(out.split())
    assert "params: 0.657 M is printed, 655,572 computed: nothing explains it." in said
    assert said.endswith("0 of 1 printed counts match; 1 differs without an explanation: a fault of this code.")


def test_json_has_every_field(monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, "--paper", "stagewise-kd", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["summary"] == "10 of 10 printed counts match."
    assert len(data["counts"]) == 10
    assert data["counts"][0] == {
        "paper": "stagewise-kd",
        "table": "1",
        "network": "ResNet34",
        "variant": "3-4-6-3",
        "residual": True,
        "metric": "params",
        "unit": "M",
        "printed": "21.550",
        "exact": 21549642,
        "note": "",
        "computed": 21549642,
        "matches": True,
    }
