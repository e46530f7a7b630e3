import re
from xml.etree import ElementTree

import pytest
from records.samples import FAST, SLOW, changed, estimate

from unskip.records import Layer
from unskip.report.layers import DrawnEstimate, bound_of, cascades_of, in_short, layers_plot


def texts(svg) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def plot(*estimates, width=1040, name="resnet18+with_lean_stem+without_shortcuts"):
    return layers_plot([DrawnEstimate(f"{name}{i}", each, i) for i, each in enumerate(estimates)], "layers", width)


@pytest.mark.parametrize(
    ("compute", "memory", "bound"),
    [
        (10, {}, "compute"),
        (10, {"sram": 9, "dram": 10}, "compute"),
        (10, {"sram": 12, "dram": 11}, "sram"),
        (0, {"flash": 3}, "flash"),
    ],
)
def test_a_layer_is_bound_by_what_takes_longest(compute, memory, bound):
    cycles = max(compute, *memory.values(), 0)
    layer = Layer(operation="Conv2D", cycles=cycles, compute_cycles=compute, memory_cycles=memory, sram_bytes=0)
    assert bound_of(layer) == bound


def test_cascades_are_neighbours_with_the_same_number():
    def layers(*cascades):
        return [Layer(operation="Conv2D", cycles=1, sram_bytes=0, cascade=each) for each in cascades]

    assert cascades_of(layers(None, 3, 3, None, 5, 6, 6)) == [(1, 2), (4, 4), (5, 6)]
    assert cascades_of(layers(None, None)) == []


def test_every_net_has_a_row_with_its_cycles_and_its_sram():
    svg = plot(estimate(SLOW), estimate(FAST))
    labels = [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts(svg)]
    assert "resnet18+with_lean_stem+without_shortcuts1" in labels
    assert {"16.00 million cycles, 302.7 KiB of SRAM", "8.00 million cycles, 302.7 KiB of SRAM"} <= set(labels)
    assert "million cycles; upwards SRAM in KiB" in labels
    assert {"--bound-compute", "--bound-dram", "--net-0", "--net-1"} <= set(re.findall(r"--[a-z]+-\w+", svg))
    assert "--bound-flash" not in svg


def widths(svg: str, bound: str) -> list[float]:
    """Of the layers that are drawn in a colour."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*style="[^"]*fill: var\(--bound-{bound}\)', svg)
    places = [[float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)] for path in paths]
    return [max(each) - min(each) for each in places]


def test_layers_are_as_wide_as_their_cycles_in_one_scale():
    svg = plot(estimate(SLOW), estimate(FAST))
    slow, fast = widths(svg, "dram")
    assert slow / fast == pytest.approx(9 / 4, rel=0.01)
    assert len(widths(svg, "compute")) == 6  # the one that was merged into another has no width


def test_the_limit_is_drawn_where_there_is_one():
    dashed = "stroke-dasharray"
    assert plot(estimate(FAST)).count(dashed) == 1
    assert plot(estimate(FAST, sram_limit_bytes=None)).count(dashed) == 0


def height_of(text) -> float:
    return float(text.get("y") or text.get("transform").split()[-1].rstrip(")"))


def test_names_that_find_no_room_beside_their_figures_stand_above_them():
    heights = {}
    for width in (1040, 400):
        root = ElementTree.fromstring(plot(estimate(FAST), width=width))
        places = {
            text.text: float(text.get("y") or text.get("transform").split()[-1].rstrip(")"))
            for text in root.iter("text")
        }
        (name,) = (place for text, place in places.items() if text.startswith("resnet18"))
        (facts,) = (place for text, place in places.items() if "of SRAM" in text)
        heights[width] = facts - name
    assert abs(heights[1040]) < 5 < heights[400]


def test_a_compiler_that_says_no_cycles_gives_layers_of_one_width():
    silent = estimate((0, 0, 0), cycles=None)
    svg = plot(silent)
    assert "layers in order of execution; upwards SRAM in KiB" in texts(svg)
    assert "--bound-" not in svg
    assert in_short(silent).replace("\N{NO-BREAK SPACE}", " ") == "302.7 KiB of SRAM"
    assert in_short(changed(silent, memory_bytes={})).startswith("293.0")
