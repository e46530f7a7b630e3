from dataclasses import replace
from itertools import chain, combinations
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from unskip import make_net
from unskip.dataflow import device_named, estimated_cost
from unskip.dataflow.blocks import block_of, compute_cycles, traffic_of, weight_reads
from unskip.dataflow.cascades import Cascades
from unskip.dataflow.cost import cost_of
from unskip.dataflow.layers import BRICK, Layer, Map, layers_of
from unskip.dataflow.placement import kept_maps, never_kept, places_of
from unskip.edits import with_lean_stem, without_shortcuts
from unskip.errors import UnskipError

from .random_dataflows import dataflows

U55, U65, U85 = map(device_named, ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256"))
IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)

# Figures of Vela 5.1.0, through ExecuTorch 1.5.1: Mcycles with and without shortcuts, KiB of SRAM with and without.
# benchmarks/forecast_against_vela.py compiles and compares them all.
VELA = [
    ("resnet18", IMAGENET, U65, "speed", (14.73, 15.99), None),
    ("resnet50", IMAGENET, U65, "speed", (49.30, 29.46), None),
    ("resnet18", IMAGENET, U85, "speed", (11.17, 11.09), (1568, 1568)),
    ("resnet32", CIFAR, U55, "speed", (1.045, 0.811), (50.7, 42.9)),
    ("resnet32", CIFAR, U55, "size", (1.446, 0.938), (37.0, 32.0)),
    ("resnet32", CIFAR, U85, "speed", (0.420, 0.409), (48.0, 32.0)),
]


@pytest.mark.parametrize(("name", "shape", "device", "optimise", "mcycles", "kib"), VELA)
def test_near_to_the_compiler(name, shape, device, optimise, mcycles, kib):
    net = make_net(name)
    costs = [estimated_cost(each, shape, device, optimise=optimise) for each in (net, without_shortcuts(net))]
    for cost, cycles in zip(costs, mcycles, strict=True):
        assert cost.cycles / 1e6 == pytest.approx(cycles, rel=0.21)
    assert (costs[0].cycles > costs[1].cycles) == (mcycles[0] > mcycles[1])
    assert costs[0].cycles / costs[1].cycles == pytest.approx(mcycles[0] / mcycles[1], rel=0.17)
    if kib is not None:
        assert [cost.sram_bytes / 1024 for cost in costs] == pytest.approx(kib, rel=0.25)
        assert costs[0].key >= costs[1].key


@pytest.mark.parametrize(
    ("moved", "size"),
    [
        (lambda maps: functional.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8)), "a padding shortcut"),
        (lambda maps: torch.cat([maps, maps], 1), "a joined map"),
        (lambda maps: functional.interpolate(maps, scale_factor=2.0), "a larger map"),
    ],
)
def test_what_moves_a_map_is_no_pooling_of_all_of_it(moved, size):
    class Net(torch.nn.Sequential):
        def forward(self, images):
            return moved(super().forward(images))

    convolution = torch.nn.Conv2d(3, 16, 3, padding=1)
    alone, more = (estimated_cost(net, CIFAR, U55).cycles for net in (convolution, Net(convolution)))
    assert 0 < more - alone < 4 * alone, size


def test_nine_kib_turn_the_sign():
    """With a little more SRAM the first cascade of a plain ResNet-18 has thicker stripes; Vela: 12.60 Mcycles."""
    plain = without_shortcuts(make_net("resnet18"))
    larger = device_named("ethos-u65-256", sram_bytes=402_000)
    before, after = (estimated_cost(plain, IMAGENET, device).cycles / 1e6 for device in (U65, larger))
    assert (before, after) == pytest.approx((15.99, 12.60), rel=0.05)


def test_what_the_device_does_not_compute():
    net = with_lean_stem(make_net("resnet18"))
    cost = estimated_cost(net, IMAGENET, "ethos-u65-256")
    assert cost.left_out == ("stem.conv",)
    assert cost.cycles < estimated_cost(make_net("resnet18"), IMAGENET, "ethos-u65-256").cycles
    assert cost.key > estimated_cost(make_net("resnet18"), IMAGENET, "ethos-u65-256").key
    assert estimated_cost(net, IMAGENET, "ethos-u85-256").left_out == ()


def test_an_unknown_device():
    with pytest.raises(UnskipError, match="no device 'ethos-u66-256'; did you mean 'ethos-u65-256'"):
        estimated_cost(make_net("resnet14"), CIFAR, "ethos-u66-256")


@given(
    kind=st.sampled_from(["convolution", "depthwise", "pooling", "elementwise"]),
    channels=st.sampled_from([3, 16, 40, 64]),
    outputs=st.sampled_from([16, 24, 64]),
    side=st.sampled_from([7, 14, 30]),
    kernel=st.sampled_from([1, 3, 7]),
    stride=st.sampled_from([1, 2]),
    rows=st.integers(1, 30),
    device=st.sampled_from([U55, U65]),
)
@settings(max_examples=25, deadline=None)
def test_no_block_reads_less(kind, channels, outputs, side, kernel, stride, rows, device):
    """The block is the best of all that fit, each looked at by itself."""
    outputs = outputs if kind == "convolution" else channels
    if kind == "elementwise":
        kernel = stride = 1
    after = (side - 1) // stride + 1
    weights = {"convolution": channels, "depthwise": 1}.get(kind, 0) * outputs * kernel**2
    depth = 1 if kind == "depthwise" else channels
    source, output = Map(channels, side, side), Map(outputs, after, after)
    layer = Layer(kind, (0,), source, output, (kernel, kernel), (stride, stride), depth, weights, True)
    block = block_of(layer, rows, device)
    best = min(_blocks(layer, min(rows, after), device), key=lambda each: each[0])
    mine = [cost for cost, size in _blocks(layer, min(rows, after), device) if size == block.output]
    assert mine
    assert mine[0] == pytest.approx(best[0])
    assert compute_cycles(layer, block, device) > 0
    assert weight_reads(layer, block, rows) >= 1
    moved = traffic_of(layer, block, (32, 32))
    assert moved.written >= output.height * output.width * output.channels


def _blocks(layer, rows, device):
    """Every block that fits, with what it reads for an element of the output."""
    up = lambda number, step: -(-number // step) * step  # noqa: E731
    out = (rows, layer.output.width, layer.output.channels)
    source_rows, deep = layer.input_rows(rows), layer.kind == "convolution"
    unit, (granule, sums_granule, banks) = device.unit, device.banks
    limits = [up(min(size, most), step) for size, most, step in zip(out, (32, 64, 128), unit, strict=True)]
    depths = sorted(
        {
            up(depth, BRICK) if depth < out[2] else depth
            for depth in range(min(limits[2], BRICK), limits[2] + 1, unit[2])
        }
    )
    places, channels = prod(layer.kernel), layer.source.channels
    parts = deep and (
        channels <= 8 or channels / up(channels, 8) * places / up(places, 4) >= channels / up(channels, 32)
    )
    for d in (depth for depth in depths if depth <= limits[2]):
        for h in range(unit[0], limits[0] + 1, unit[0]):
            for w in range(unit[1], limits[1] + 1, unit[1]):
                ih, iw = (
                    up((size - 1) * layer.stride[0] + min(layer.kernel[0], 8), step)
                    for size, step in ((h, unit[0]), (w, unit[1]))
                )
                read_deep = up(min(channels, 16 if parts else 32), unit[2]) if deep else d
                inputs = up(2 * -(-(ih * iw * up(read_deep, 8)) // 1024), granule)
                sums = up(2 * -(-(h * w * up(d, 8) * 4) // 1024), sums_granule)
                if (2 * inputs if layer.kind == "elementwise" else inputs + sums) > banks:
                    continue
                counts = [-(-size // part) for size, part in zip(out, (h, w, d), strict=True)]
                read = ih * iw * channels * out[0] / h * out[1] / w * (counts[2] if deep else 1)
                fetched = places * channels * counts[0] * counts[1] * (out[2] if deep else 1) if layer.weights else 0
                cost = 1 / (h * w * d) if layer.kind == "elementwise" else (read + fetched) / prod(out)
                if source_rows * layer.source.width * channels < 2 * ih * iw * read_deep:
                    cost /= 2
                yield cost, (h, w, d)


@given(dataflow=dataflows(most=6), size=st.integers(40, 1200))
@settings(max_examples=60, deadline=None)
def test_no_choice_of_maps_is_worth_more(dataflow, size):
    """Of all sets of maps that fit at every moment, the one whose reads and writes move most stays in the SRAM."""
    layers = layers_of(dataflow, image_in_bricks=False)
    device = replace(U65, sram_bytes=size)
    runs = Cascades(layers, device).runs()
    room = [size - run.kept_bytes for run in runs]
    kept = kept_maps(layers, runs, room, device)
    places = places_of(layers, runs, never_kept(layers, runs))
    assert kept <= {map_ for place in places for map_ in place.maps}
    assert _fits([place for place in places if kept.issuperset(place.maps)], room, size)
    alone = [place for place in places if not _fits([place], room, size)]
    assert not kept.intersection(map_ for place in alone for map_ in place.maps)
    if all(len(layer.inputs) == 1 for layer in layers.layers):
        sets = chain.from_iterable(combinations(places, number) for number in range(len(places) + 1))
        fitting = [{map_ for place in each for map_ in place.maps} for each in sets if _fits(each, room, size)]
        assert not any(kept < each for each in fitting)


def _fits(places, room, size):
    at = lambda number: sum(place.bytes for place in places if place.start <= number <= place.end)  # noqa: E731
    return at(-1) <= size and all(at(number) <= each for number, each in enumerate(room))


@given(dataflow=dataflows(), size=st.integers(100, 5000))
@settings(max_examples=40, deadline=None)
def test_a_large_sram_has_no_traffic(dataflow, size):
    small, large = (cost_of(dataflow, replace(U65, sram_bytes=each)) for each in (size, 1 << 30))
    output = layers_of(dataflow, image_in_bricks=False).maps[-1].bytes
    assert large.traffic_bytes <= 8 * output
    assert small.cycles >= 0
    assert cost_of(dataflow, U85).sram_bytes >= max(dataflow.elements)
