"""Students are counted on a few traces, and each is what its edits make of the network."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from search.known import meta_net, searched
from unskip import StagedNet, forecast, make_net
from unskip.dataflow import count_macs, num_parameters
from unskip.errors import UnskipError
from unskip.methods import method_from
from unskip.nets import Residual
from unskip.nets.layers import sequence
from unskip.search.students import MAX_DEPTHS, StudentSearch
from unskip.surgery import edited, residual_blocks, with_depth_statistics

NETS = {
    "resnet20": ({"width": 8}, 16),
    "resnet18": ({"width": 8}, 64),
    "resnet26-bottleneck": ({"width": 8}, 64),
    "wrn-16x2": ({"width": 8}, 16),
    "mobilenetv2": ({"width_mult": 0.25}, 64),
    "vgg11-cifar": ({}, 32),
    "timm:resnet10t": ({}, 64),
}


class Padding(nn.Module):
    """The shortcut of CIFAR ResNets without projections."""

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))


def block(channels, width, stride):
    body = nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1)
    )
    return Residual(body, Padding() if stride > 1 else None, nn.ReLU())


@pytest.fixture
def padding_net():
    blocks = {"block1": block(8, 8, 1), "block2": block(8, 8, 1)}
    wider = {"block1": block(8, 16, 2), "block2": block(16, 16, 1)}
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(16, 5)}
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU())
    return StagedNet({"stem": stem, "stage1": sequence(blocks), "stage2": sequence(wider), "head": sequence(head)})


def student_search(name):
    options, side = NETS[name]
    net = meta_net(name, options)
    return net, (3, side, side), searched(net, (3, side, side))


@pytest.mark.parametrize("name", NETS)
@given(data=st.data())
@settings(max_examples=3)
def test_a_student_costs_what_its_edits_give(name, data):
    net, shape, search = student_search(name)
    student = data.draw(st.sampled_from(search.students))
    built = edited(net, student.edits, seed=0)
    assert student.peak_elements == forecast(built, shape, bytes_per_element=1).peak_bytes
    assert student.macs == count_macs(built, shape)
    assert student.parameters == num_parameters(built)
    blocks = {place.partition(".unit")[0] for place in residual_blocks(built)}  # of a shortened one, several units
    assert student.shortcuts == len(blocks)
    assert student.figures(2)["file_bytes"] == 2 * student.parameters


@pytest.mark.parametrize("name", NETS)
def test_no_student_stands_there_twice_and_the_network_is_the_first(name):
    net, shape, search = student_search(name)
    assert search.students[0].edits == ()
    assert search.students[0].macs == count_macs(net, shape)
    alone = [student.structure for student in search.students if not student.sub_net]
    assert len(set(alone)) == len(alone)
    assert all(student.macs <= search.students[0].macs for student in search.students)


def test_every_kind_is_among_them():
    _, _, search = student_search("resnet26-bottleneck")
    said = {str(student) for student in search.students}
    assert {
        "as it is",
        "plain",
        "plain in stage1, stage2.block1",
        "plain in stage1, stage2",
        "blocks 2-2-2-1",
        "sub-net 2-2-2-1",
        "plain, sub-net 1-1-1-1",
        "8 groups",
        "lean stem",
        "lean stem, 2 groups, plain in stage1, blocks 2-2-1-1",
    } <= said
    assert not search.skipped


def test_narrower_ones_are_among_them():
    pytest.importorskip("torch_pruning")
    said = {str(student) for student in student_search("resnet26-bottleneck")[2].students}
    assert {"0.25 pruned", "lean stem, 0.5 pruned, plain", "0.375 pruned, plain, blocks 1-1-1-1"} <= said
    assert not any("sub-net" in each for each in said if "pruned" in each)
    assert not any("plain, 0." in each for each in said), "where shortcuts couple channels, as many go"


def test_shortened_ones_are_among_them_where_that_lowers_the_peak():
    search = searched(meta_net("resnet18"), (3, 64, 64))
    students = {str(student): student for student in search.students}
    assert students["lean stem, shortened"].peak_elements < students["lean stem"].peak_elements
    assert "shortened" not in students, "the peak is in the stem"


def test_shortcuts_that_pad_let_more_channels_go_once_they_are_gone(padding_net):
    pytest.importorskip("torch_pruning")
    net, shape = padding_net, (3, 16, 16)
    students = {str(student): student for student in StudentSearch(net, shape).students}
    before, after = students["0.5 pruned, plain"], students["plain, 0.5 pruned"]
    assert after.macs < before.macs
    for student in (before, after, students["0.5 pruned"], students["plain, 0.5 pruned, blocks 1-1"]):
        built = edited(net, student.edits, seed=0)
        assert student.macs == count_macs(built, shape)
        assert student.parameters == num_parameters(built)
        assert student.peak_elements == forecast(built, shape, bytes_per_element=1).peak_bytes
        assert student.shortcuts == len(residual_blocks(built))


def test_edits_that_do_not_fit_are_counted_with_the_reason():
    reasons = " ".join(student_search("vgg11-cifar")[2].skipped)
    assert "no shortcuts" in reasons
    assert "with_lean_stem" in reasons
    assert "groups need no fewer MACs" in " ".join(student_search("mobilenetv2")[2].skipped)
    assert {student.groups for student in student_search("mobilenetv2")[2].students} == {1}


def test_the_way_to_fewer_blocks():
    _, _, search = student_search("resnet20")
    depths = list(dict.fromkeys(student.depth for student in search.students if student.depth))
    assert depths == [(3, 3, 2), (3, 2, 2), (2, 2, 2), (2, 2, 1), (2, 1, 1), (1, 1, 1)]
    deep = searched(meta_net("resnet38", {"width": 2}), (3, 8, 8))
    depths = list(dict.fromkeys(student.depth for student in deep.students if student.depth))
    assert len(depths) == MAX_DEPTHS
    assert depths[0] == (6, 6, 5)
    assert depths[-1] == (1, 1, 1)


def test_embedded_kd_takes_every_sub_net():
    net, _, search = student_search("wrn-16x2")
    subs = [student for student in search.students if student.sub_net]
    assert subs
    for student in subs:
        whole = edited(net, student.whole_edits, seed=0)
        assert method_from("embedded_kd", {"depths": [student.depth]}).depths_of(whole) == [student.depth]
        assert dict(student.edits).keys() - dict(student.whole_edits).keys() == {"at_depth"}


def test_depths_without_statistics_are_left_out():
    net = with_depth_statistics(make_net("resnet14", {"width": 4}), depths=[[2, 1, 1]])
    search = StudentSearch(net, (3, 8, 8))
    assert {student.depth for student in search.students} == {None, (2, 1, 1)}
    assert any("no BatchNorm statistics for the depth 2-2-1" in reason for reason in search.skipped)


def test_an_image_that_does_not_fit_is_refused():
    with pytest.raises(UnskipError, match="an image of 3 x 8 x 8 does not fit"):
        StudentSearch(make_net("vgg16-cifar"), (3, 8, 8))
