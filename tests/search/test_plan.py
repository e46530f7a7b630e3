"""A plan's figures are those of networks built from its edits, and no smaller set of removals does what a step does."""

import itertools
import json

import pytest
import torch
import yaml
from dataflow.random_nets import nets
from hypothesis import given, settings

from search.known import meta_net
from unskip import build, forecast, make_net
from unskip.dataflow import count_macs, num_parameters
from unskip.edits import without_shortcuts
from unskip.nets import NetSpec
from unskip.recipe import recipe_from
from unskip.search import plan
from unskip.surgery import edited, residual_blocks

IMAGENET = (3, 224, 224)
MIB = 2**20


def summary(lines):
    return [(line.kind, line.recipe_edits, round(line.peak_bytes / MIB, 2), line.shortcuts) for line in lines]


def test_a_resnet_18_needs_a_lean_stem_first():
    lines = plan(meta_net("resnet18"), IMAGENET)
    lean = "with_lean_stem"
    assert summary(lines) == [
        ("as it is", (), 3.83, 8),
        ("step", (lean,), 2.30, 8),
        ("step", (lean, "without_shortcuts: {only: [stage1]}"), 1.53, 6),
        ("shortened", (lean, "with_shortened_shortcuts: {only: [stage1]}"), 1.53, 10),
        ("compared", ("without_shortcuts",), 3.83, 0),
        ("compared", (lean, "without_shortcuts"), 1.53, 0),
    ]
    assert [line.peak_at for line in lines][:3] == [
        "stage1.pool",
        "stage1.block1.body.conv2",
        "stage1.block1.body.conv1",
    ]
    assert [round(line.ratio, 2) for line in lines] == [1, 1.67, 2.5, 2.5, 1, 2.5]


def test_four_shortcuts_hold_the_peak_of_a_resnet_50():
    lines = plan(meta_net("resnet50"), IMAGENET)
    assert summary(lines)[:3] == [
        ("as it is", (), 6.89, 16),
        ("step", ("without_shortcuts: {only: [stage1]}",), 6.12, 13),
        ("step", ("without_shortcuts: {only: [stage1, stage2.block1]}",), 4.59, 12),
    ]
    assert {line.kind for line in lines[3:]} == {"compared"}
    assert min(line.peak_bytes for line in lines) == lines[2].peak_bytes == 4.59375 * MIB


def test_where_no_edit_helps_there_is_no_step():
    lines = plan(meta_net("mobilenetv2"), IMAGENET)
    assert [(line.kind, line.recipe_edits) for line in lines] == [
        ("as it is", ()),
        ("compared", ("without_shortcuts",)),
    ]
    assert lines[0].peak_bytes == lines[1].peak_bytes
    assert [line.kind for line in plan(meta_net("vgg11-cifar"), (3, 32, 32))] == ["as it is"]


def test_what_cannot_be_shortened_without_memory_is_removed():
    """The projection of a Wide ResNet's first block makes a map of its own, whatever it spans."""
    lines = plan(meta_net("wrn-22x2"), (3, 32, 32))
    assert [(line.kind, line.recipe_edits, line.peak_bytes // 1024) for line in lines] == [
        ("as it is", (), 384),
        ("step", ("without_shortcuts: {only: [stage1.block2, stage1.block3]}",), 320),
        ("shortened", ("with_shortened_shortcuts: {only: [stage1.block2, stage1.block3]}",), 320),
        ("step", ("without_shortcuts: {only: [stage1]}",), 256),
        (
            "shortened",
            (
                "with_shortened_shortcuts: {only: [stage1.block2, stage1.block3]}",
                "without_shortcuts: {only: [stage1.block1.residual]}",
            ),
            256,
        ),
        ("compared", ("without_shortcuts",), 256),
    ]


SMALL = [
    ("resnet14", {"width": 4}, 16),
    ("resnet18", {"width": 4}, 64),
    ("resnet26-bottleneck", {"width": 4}, 64),
    ("wrn-16x2", {"width": 4}, 16),
    ("mobilenetv2", {"width_mult": 0.25}, 64),
]


@pytest.mark.parametrize(("name", "options", "side"), SMALL)
def test_every_line_is_what_a_recipe_with_its_edits_gives(name, options, side):
    shape = (3, side, side)
    net = make_net(name, options)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    lines = plan(net, shape)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())
    for line in lines:
        edits = [yaml.safe_load(text) for text in line.recipe_edits]
        recipe = recipe_from({"student": {"net": name, "options": options, "edits": edits}})
        made = [pair for edit in recipe.student.edits for pair in edit.items()]
        built = build(NetSpec(name, options, tuple(made)), seed=0)
        timeline = forecast(built, shape)
        assert (line.peak_bytes, line.peak_at) == (timeline.peak_bytes, timeline.peak_at)
        assert line.macs == count_macs(built, shape)
        assert line.parameters == num_parameters(built)
        assert line.shortcuts == len(residual_blocks(built))
        assert line.ratio == lines[0].peak_bytes / line.peak_bytes
        read = json.loads(json.dumps(line.to_json()))
        assert recipe_from({"student": {"edits": read["edits"]}}).student.edits == recipe.student.edits
    steps = [line.peak_bytes for line in lines if line.kind in ("as it is", "step")]
    assert steps == sorted(set(steps), reverse=True), "every step lowers the peak"
    assert steps[-1] == min(line.peak_bytes for line in lines)
    edits = [line.edits for line in lines]
    assert all(edits.count(one) == 1 for one in edits)


def check_against_all_subsets(net, shape, lines):
    places = list(residual_blocks(net))
    steps = [line for line in lines if line.kind == "step"]
    assert not any(name == "with_lean_stem" for line in steps for name, _ in line.edits)
    lowest = {}  # by how many shortcuts go
    for count in range(len(places) + 1):
        subsets = itertools.combinations(places, count)
        peaks = [
            forecast(without_shortcuts(net, keep=[place for place in places if place not in gone]), shape).peak_bytes
            for gone in subsets
        ]
        lowest[count] = min(peaks)
    for line in steps:
        gone = len(places) - line.shortcuts
        assert lowest[gone] == line.peak_bytes
        assert all(lowest[fewer] > line.peak_bytes for fewer in range(gone))
    assert min(lowest.values()) == (steps[-1] if steps else lines[0]).peak_bytes


@pytest.mark.parametrize(("name", "options", "side"), [SMALL[0], SMALL[3]])
def test_no_smaller_set_of_removals_gets_as_low(name, options, side):
    net, shape = make_net(name, options), (3, side, side)
    check_against_all_subsets(net, shape, plan(net, shape))


@given(net=nets())
@settings(max_examples=10)
def test_no_smaller_set_of_removals_gets_as_low_in_random_nets(net):
    shape = (3, 8, 8)
    lines = plan(net, shape)
    check_against_all_subsets(net, shape, lines)
    for line in lines:
        assert forecast(edited(net, line.edits, seed=0), shape).peak_bytes == line.peak_bytes


def test_the_number_of_steps_has_a_limit():
    net = make_net("wrn-16x2", {"width": 4})
    every, one, none = (plan(net, (3, 16, 16), limit=limit) for limit in (10, 1, 0))
    assert [line for line in every if line.kind == "step"][:1] == [line for line in one if line.kind == "step"]
    assert [line.kind for line in none] == ["as it is", "compared"]
