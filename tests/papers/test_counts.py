"""Every count that the papers print is the count of this project's networks, or a slip that is explained."""

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch

from tests.papers.counts import CheckedCount, check_counts, counted_net, printed_counts
from unskip.dataflow import CONVENTIONS, count_macs
from unskip.surgery import build
from unskip.torchvision_compat import torchvision

CELLS = printed_counts()
FIRST = next(cell for cell in CELLS if cell.metric == "params")


@pytest.fixture(scope="module")
def checked():
    return check_counts()


def test_every_count_is_exact(checked):
    assert [item.cell for item in checked] == CELLS
    assert {item.cell: item.computed for item in checked} == {cell: cell.exact for cell in CELLS}


def test_the_page_of_counts_is_up_to_date(checked):
    """Here, and not beside the other pages, so that the same process has counted already."""
    root = Path(__file__).resolve().parents[2]
    page = runpy.run_path(str(root / "docs" / "generate.py"))["PAGES"]["reference/counts.md"]
    assert (root / "docs" / "reference" / "counts.md").read_text() == page(), "run python docs/generate.py"


def test_a_count_matches_or_has_a_note(checked):
    slips = [item.cell for item in checked if not item.matches]
    assert (len(checked), len(slips)) == (250, 3)
    assert slips == [cell for cell in CELLS if cell.note]
    assert not any(item.is_failure for item in checked)


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
