import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn

from unskip import inspect_net, make_net
from unskip.analyses import ANALYSES
from unskip.edits import without_shortcuts
from unskip.nets import staged

IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)


@pytest.fixture(scope="module")
def inspections():
    made = {name: inspect_net(make_net(name), IMAGENET) for name in ("resnet18", "resnet34", "resnet50")}
    return made | {"plain": inspect_net(without_shortcuts(make_net("resnet18")), IMAGENET)}


def printed(inspection, width=80, details=True):
    file = io.StringIO()
    inspection.show(Console(file=file, width=width), details=details)
    return file.getvalue()


def verdict(inspection):
    return inspection.analyses["verdict"].text


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_verdict_where_nothing_is_gained(name, inspections):
    said = verdict(inspections[name])
    assert not inspections[name].analyses["verdict"].pays
    for fact in ("not lower peak", "3.83 MiB", "at stage1.pool, which no shortcut crosses", "2.30 MiB to 1.53 MiB"):
        assert fact in said
    assert "pays" not in said


def test_verdict_where_removal_pays(inspections):
    said = verdict(inspections["resnet50"])
    assert inspections["resnet50"].analyses["verdict"].pays
    assert said.startswith("Removal pays: peak live feature maps fall from 6.89 MiB to 4.59 MiB (1.50x)")
    assert "stage1.block1.shortcut.conv to stage2.block1.body.conv1" in said
    enough = inspections["resnet50"].analyses["verdict"].enough
    assert enough == ("stage1", "stage2.block1")
    assert "4 of the 16 shortcuts are enough" in said
    assert said.endswith("by the edit without_shortcuts: {only: [stage1, stage2.block1]}.")
    smaller = inspect_net(without_shortcuts(make_net("resnet50"), only=enough), IMAGENET)
    assert "not lower peak memory: 4.59 MiB" in verdict(smaller)
    assert smaller.analyses["verdict"].enough == ()


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain"])
def test_verdict_claims_nothing_it_did_not_compute(name, inspections):
    said = verdict(inspections[name]).lower()
    assert not any(word in said for word in ("accuracy", "latency", "faster", "speed"))


def test_verdict_of_a_plain_network(inspections):
    assert inspections["plain"].analyses["shortcuts"].share == 0
    assert "no shortcuts, so there is nothing to remove" in verdict(inspections["plain"])
    assert "3.83 MiB, at stage1.pool" in verdict(inspections["plain"])


def test_small_networks_are_told_in_kib():
    assert "from 192.0 KiB to 128.0 KiB (1.50x)" in verdict(inspect_net(make_net("resnet20"), CIFAR))


def test_plain_figures_are_those_of_the_plain_network(inspections):
    residual, plain = (inspections[name].analyses for name in ("resnet18", "plain"))
    assert residual["memory"].plain_timeline == plain["memory"].timeline
    counts = residual["counts"]
    assert counts.plain_figures == plain["counts"].figures
    assert counts.figures.keys() == counts.measures.keys() >= {"peak", "parameters", "macs"}
    projections = [each for each in residual["shortcuts"].inventory if each.kind == "projection"]
    for measure in ("parameters", "macs"):
        lost = counts.figures[measure].value - counts.plain_figures[measure].value
        assert lost == sum(getattr(shortcut, measure) for shortcut in projections)


def test_json_holds_everything(inspections):
    for inspection in inspections.values():
        read = json.loads(json.dumps(inspection.to_json()))
        assert read.keys() - {"net", "input_shape"} == inspection.analyses.keys()
        assert read["verdict"]["text"] == verdict(inspection)
        memory = inspection.analyses["memory"]
        assert len(read["shortcuts"]["inventory"]) == len(inspection.analyses["shortcuts"].inventory)
        assert read["memory"]["timeline"]["peak_bytes"] == memory.timeline.peak_bytes
        assert max(operation["live_bytes"] for operation in read["memory"]["plain_timeline"]["operations"]) == (
            memory.plain_timeline.peak_bytes
        )


@pytest.mark.parametrize("width", [80, 120])
def test_print_fits_and_says_it_all(width, inspections):
    analyses = inspections["resnet50"].analyses
    text = printed(inspections["resnet50"], width)
    assert max(map(len, text.splitlines())) <= width
    facts = (
        "25,557,032",
        "22,780,456",
        "-10.9%",
        "4,089,184,256",
        "relu1..add (5 ops)",
        "2.13",
        "1.11",
        "223.77",
        "148.74",
    )
    assert all(fact in text for fact in facts)
    assert all(shortcut.place in text for shortcut in analyses["shortcuts"].inventory)
    assert " ".join(text.split()).count(verdict(inspections["resnet50"])) == 1
    assert analyses["memory"].timeline.policy in " ".join(text.split())
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain"])
def test_the_verdict_comes_first_and_tables_for_those_who_ask(name, inspections):
    short, long = (printed(inspections[name], 120, details=details) for details in (False, True))
    assert " ".join(short.split("\n\n")[1].split()) == verdict(inspections[name])
    assert set(short.splitlines()) <= set(long.splitlines())
    assert short.count("\n") < 25 < long.count("\n")
    assert "most live feature maps" not in short
    assert "peak by schedule" not in short


def test_bars_mark_both_peaks(inspections):
    lines = {line.split()[0]: line for line in printed(inspections["resnet50"]).splitlines() if "█" in line}
    assert lines["stage1.block1"].rstrip().endswith("░ peak")
    assert "peak without shortcuts" in lines["stage2.block1"]
    assert lines["stage1.block1"].count("█") + lines["stage1.block1"].count("░") == max(
        line.count("█") + line.count("░") for line in lines.values()
    )
    assert "░" not in lines["stage1.pool"]


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.relu = nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 1)

    def forward(self, x):
        return x + self.conv2(self.relu(self.conv1(x)))


def test_a_part_that_is_folded_away_without_shortcuts_holds_nothing():
    """A BatchNorm that follows an addition with the shortcut, and without it a convolution, as in timm's starnets."""
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    model = nn.Sequential(stem, Block(8), Block(8), nn.BatchNorm2d(8), head).eval()
    inspection = inspect_net(staged(model, torch.randn(2, 3, 16, 16)), (3, 16, 16))
    lives = {part.name: (part.live_bytes, part.plain_live_bytes) for part in inspection.analyses["memory"].parts}
    one_map = 4 * 8 * 16 * 16
    assert lives["stage1.block2"] == (3 * one_map, 2 * one_map)
    assert lives["stage1.bn"] == (one_map, 0)
    assert "stage1.bn" in printed(inspection)


def test_print_of_a_plain_network_has_no_columns_without_shortcuts(inspections):
    text = printed(inspections["plain"])
    assert "holds" not in text
    assert "without" not in text.split("most live feature maps")[1].split("peak by schedule")[0]


def test_what_takes_time_is_made_when_it_is_named():
    net = make_net("resnet14", {"width": 4})
    quick = inspect_net(net, (3, 16, 16)).analyses
    assert list(quick) == ["verdict", "counts", "shortcuts", "kept", "memory", "schedules"]
    asked = inspect_net(net, (3, 16, 16), also=["plan"]).analyses
    assert list(asked) == [*quick, "plan"]
    assert {name: asked[name] for name in quick} == quick
    with pytest.raises(ValueError, match="no analysis 'plam'; did you mean 'plan'"):
        inspect_net(net, (3, 16, 16), also=["plam"])


def test_every_file_has_a_card_and_a_name():
    for name in ANALYSES:
        assert ANALYSES.card(name).count("\n") < 20
        assert ANALYSES[name].__doc__


def test_notebooks_show_inspections_and_timelines(inspections):
    shown = inspections["resnet50"]._repr_html_()
    assert shown.startswith("<pre")
    assert "Removal pays" in shown
    assert "peak by schedule" in shown
    picture = inspections["resnet50"].analyses["memory"].timeline._repr_html_()
    assert picture.startswith("<svg")
    assert "peak 6.89\N{NO-BREAK SPACE}MiB" in picture
