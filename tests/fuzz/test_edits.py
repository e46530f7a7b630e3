"""Edits and their arguments, in any order, with any value."""

import json

from hypothesis import strategies as st

from unskip.nets import make_net
from unskip.settings import arguments_of
from unskip.surgery import EDITS, edited

from .harness import fuzz
from .values import PLAIN

NETS = [
    ("resnet8", {"width": 2}),
    ("wrn-10x1", {}),
    ("resnet-bottleneck", {"blocks": [2], "width": 4}),
    ("mobilenetv2-cifar", {"width_mult": 0.1}),
    ("vgg11-cifar", {"width": 2}),
]
COUNTS = st.sampled_from([0, 1, 2, 3, 4, 7, 64, -1, 10**18, 1.5, True, "2", None])
NAMES = st.sampled_from(
    ["stage1", "stage2", "stage9", "stage1.block1", "identity", "projection", "head", "", "*", 3, None]
)
LIKELY = COUNTS | NAMES | st.lists(COUNTS | NAMES, max_size=4) | st.lists(st.lists(COUNTS, max_size=4), max_size=3)


RIGHT = [
    ("without_shortcuts", {}),
    ("without_shortcuts", {"only": ["stage1"]}),
    ("without_shortcuts", {"keep": ["projection"]}),
    ("without_shortcuts_exactly", {}),
    ("with_fading_shortcuts", {}),
    ("with_shortened_shortcuts", {}),
    ("with_lean_stem", {}),
    ("with_grouped_convs", {"groups": 2}),
    ("with_grouped_convs", {"channels_per_group": 1}),
    ("with_dirac_convs", {}),
    ("with_depth_statistics", {"depths": [[1, 1, 1]]}),
    ("at_depth", {"blocks": [1, 1, 1]}),
    ("with_pruned_channels", {"ratio": 0.25}),
    ("fold_dirac", {}),
    ("fold_batchnorm", {}),
]
assert {name for name, _ in RIGHT} == set(EDITS)


@st.composite
def edits(draw: st.DrawFn) -> dict:
    """An edit that may be right, or has one of its arguments changed, or another one besides."""
    name, arguments = draw(st.sampled_from(RIGHT))
    own = [*arguments_of(EDITS[name]).model_fields, "more"]
    if draw(st.integers(0, 2)) == 0:
        arguments = {**arguments, draw(st.sampled_from(own)): draw(LIKELY | PLAIN)}
    return {name: arguments}


@fuzz(60, 900, net=st.sampled_from(NETS), several=st.lists(edits(), min_size=1, max_size=3))
def test_any_edits_give_a_net_or_a_sentence(world, net, several):
    with world.sentence():
        made = edited(make_net(*net), [pair for entry in several for pair in entry.items()], seed=0)
        assert made.spec is not None


WRONG = [
    "with_grouped_convs: {groups: 0}",
    "with_grouped_convs: {groups: -2}",
    "with_grouped_convs: {groups: 3}",
    "with_grouped_convs: {groups: 2, channels_per_group: 2}",
    "with_grouped_convs: {channels_per_group: 1000000000000}",
    "with_grouped_convs",
    "with_grouped_convs: {groups: .inf}",
    "at_depth: {blocks: [-1, 1, 1]}",
    "at_depth: {blocks: [1, 1]}",
    "at_depth: {blocks: [9, 9, 9]}",
    "at_depth: {blocks: 3}",
    "at_depth",
    "with_depth_statistics: {depths: [[5, 5, 5]]}",
    "without_shortcuts: {only: [stage9]}",
    "without_shortcuts: {keep: [1]}",
    "without_shortcuts: {keep: stage1}",
    "without_shortcut",
    "[without_shortcuts]",
    "{without_shortcuts: {}, fold_dirac: {}}",
    "!!python/object/apply:os.system [true]",
    "3",
    "",
]


@fuzz(22, 44, edit=st.sampled_from(WRONG))
def test_wrong_edits_are_refused(world, edit):
    world.refused("inspect", "resnet8", "--set", "width=2", f"--edit={edit}")


@fuzz(30, 300, several=st.lists(edits(), min_size=1, max_size=2))
def test_edits_of_the_command_line_end_as_commands_do(world, several):
    words = [f"--edit={json.dumps(edit)}" for edit in several]
    world.unskip("inspect", "resnet8", "--set", "width=2", "--image-size", 16, *words)
