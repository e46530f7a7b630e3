import io
import json

import pytest
from rich.console import Console

from unskip.inspection import inspect_net, render, verdict
from unskip.nets import make_net
from unskip.surgery import without_shortcuts

IMAGENET = (3, 224, 224)


@pytest.fixture(scope="module")
def inspections():
    found = {name: inspect_net(make_net(name), IMAGENET) for name in ("resnet18", "resnet34", "resnet50")}
    found["plain"] = inspect_net(without_shortcuts(make_net("resnet18")), IMAGENET)
    return found


def printed(inspection, width=80):
    file = io.StringIO()
    render(inspection, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_verdict_where_nothing_is_gained(name, inspections):
    said = verdict(inspections[name])
    assert said.startswith(
        "Removing the shortcuts will not lower peak memory: 3.83 MiB with and without; the peak is at stage1.pool, "
        "which no shortcut crosses. Inside the blocks, the peak falls from 2.30 to 1.53 MiB"
    )
    assert "pays" not in said


def test_verdict_where_removal_pays(inspections):
    said = verdict(inspections["resnet50"])
    assert said.startswith("Removal pays: peak live feature maps fall from 6.89 to 4.59 MiB (1.50x).")
    assert "moves from stage1.block1.shortcut.conv to stage2.block1.body.conv1." in said
    assert "from 2.13 to 1.11 MiB" in said
    assert "Without its 4 projections, the network has 2,776,576 fewer parameters (10.9%)" in said


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain"])
def test_verdict_claims_nothing_it_did_not_compute(name, inspections):
    said = verdict(inspections[name]).lower()
    assert not any(word in said for word in ("accuracy", "latency", "faster", "speed"))


def test_verdict_of_a_plain_network(inspections):
    assert inspections["plain"].share == 0
    assert verdict(inspections["plain"]) == (
        "This network has no shortcuts, so there is nothing to remove. "
        "Peak live feature maps: 3.83 MiB, at stage1.pool."
    )


def test_small_networks_are_told_in_kib():
    assert "from 192.0 to 128.0 KiB (1.50x)" in verdict(inspect_net(make_net("resnet20"), (3, 32, 32)))


def test_plain_figures_are_those_of_the_plain_network(inspections):
    residual, plain = inspections["resnet18"], inspections["plain"]
    assert residual.plain_timeline == plain.timeline
    assert (residual.plain_parameters, residual.plain_macs) == (plain.parameters, plain.macs)
    projections = [shortcut for shortcut in residual.inventory if shortcut.kind == "projection"]
    assert residual.parameters - plain.parameters == sum(shortcut.parameters for shortcut in projections)
    assert residual.macs - plain.macs == sum(shortcut.macs for shortcut in projections)


def test_json_holds_everything(inspections):
    inspection = inspections["resnet50"]
    read = json.loads(json.dumps(inspection.to_json()))
    assert read["verdict"] == verdict(inspection)
    assert len(read["inventory"]) == 16
    assert read["timeline"]["peak_bytes"] == inspection.timeline.peak_bytes
    assert max(operation["live_bytes"] for operation in read["plain_timeline"]["operations"]) == (
        inspection.plain_timeline.peak_bytes
    )


@pytest.mark.parametrize("width", [80, 120])
def test_print_fits_and_says_it_all(width, inspections):
    text = printed(inspections["resnet50"], width)
    assert max(map(len, text.splitlines())) <= width
    assert "25,557,032 parameters" in text
    assert "4.09 G MACs" in text
    assert all(shortcut.place in text for shortcut in inspections["resnet50"].inventory)
    assert "relu1..add (5 ops)" in text
    assert " ".join(text.split()).count(verdict(inspections["resnet50"])) == 1
    assert inspections["resnet50"].timeline.policy in " ".join(text.split())
    assert "\x1b" not in text


def test_bars_mark_both_peaks(inspections):
    lines = {line.split()[0]: line for line in printed(inspections["resnet50"]).splitlines() if "█" in line}
    assert lines["stage1.block1"].rstrip().endswith("░ peak")
    assert "peak without shortcuts" in lines["stage2.block1"]
    assert lines["stage1.block1"].count("█") + lines["stage1.block1"].count("░") == max(
        line.count("█") + line.count("░") for line in lines.values()
    )
    assert "░" not in lines["stage1.pool"]


def test_print_of_a_plain_network_has_no_shortcut_table(inspections):
    text = printed(inspections["plain"])
    assert "holds" not in text
    assert "without" not in text.split("most live feature maps")[1].split("(float32")[0]
