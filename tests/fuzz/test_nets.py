"""Networks by name and their options."""

import json

from hypothesis import assume
from hypothesis import strategies as st

from unskip.nets import NETS, make_net

from .harness import CANARY_MODULE, fuzz
from .values import NOT_AN_INTEGER, PLAIN, TEXTS

# Each with a size of its own that is quick.
SMALL = st.sampled_from(
    [
        ("resnet8", "width=2"),
        ("wrn-10x1", "num_classes=3"),
        ("resnet10-stagewise", "width=2"),
        ("resnet-basic", "blocks=[1, 2]"),
        ("resnet-bottleneck", "blocks=[1]"),
        ("vgg11-cifar", "width=2"),
        ("mobilenetv2-cifar", "width_mult=0.1"),
    ]
)
COUNT = st.sampled_from(["num_classes", "in_channels"])
WRONG_COUNT = NOT_AN_INTEGER | st.sampled_from(["0", "-1", "-3", "1.0", "1000000000000", "1000000000000000000"])
WRONG_BLOCKS = [
    "[]",
    "[0]",
    "[-1]",
    "[1, 0]",
    "[true]",
    "[1.5]",
    "[1000000]",
    "3",
    "ab",
    "{}",
    "null",
    "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
]


@fuzz(6, 150, net=SMALL, classes=st.integers(1, 20), channels=st.integers(1, 4), side=st.sampled_from([32, 33, 48]))
def test_right_options_are_taken(world, net, classes, channels, side):
    name, option = net
    options = [option] if option.startswith("num_classes") else [option, f"num_classes={classes}"]
    words = [word for each in (*options, f"in_channels={channels}") for word in ("--set", each)]
    said = world.unskip("inspect", name, *words, "--image-size", side, "--json", codes=(0,))
    assert json.loads(said)["input_shape"] == [channels, side, side]


@fuzz(30, 300, net=SMALL, option=COUNT, value=WRONG_COUNT)
def test_wrong_counts_are_refused(world, net, option, value):
    world.refused("inspect", net[0], "--set", f"{option}={value}")


@fuzz(15, 100, block=st.sampled_from(["basic", "bottleneck"]), value=st.sampled_from(WRONG_BLOCKS))
def test_wrong_blocks_are_refused(world, block, value):
    world.refused("inspect", f"resnet-{block}", "--set", f"blocks={value}")


@fuzz(10, 40, net=st.sampled_from(["torchvision:resnet18", "timm:resnet18"]), option=COUNT, value=WRONG_COUNT)
def test_wrong_counts_of_other_packages_nets_are_refused(world, net, option, value):
    world.refused("inspect", net, "--set", f"{option}={value}")


OTHERS = {
    "torchvision:resnet18": ["zero_init_residual", "groups", "width_per_group", "norm_layer", "progress", "weights"],
    "timm:resnet18": [
        "drop_path_rate",
        "output_stride",
        "in_chans",
        "global_pool",
        "act_layer",
        "norm_layer",
        "layers",
    ],
    "torchvision:mobilenet_v2": ["width_mult", "inverted_residual_setting", "round_nearest", "block", "dropout"],
    "timm:mobilenetv2_050": ["pretrained", "checkpoint_path", "features_only", "drop_rate", "pad_type", "stem_size"],
}
LIKELY = st.sampled_from(
    [0, 1, 2, 3, -1, 0.5, 2.0, True, False, None, "", "x", "avg", "relu", "same", [], [1], [1, 1, 1, 1], {}]
)


@fuzz(10, 150, net=st.sampled_from(list(OTHERS)), which=st.integers(0, 9), value=LIKELY | PLAIN, more=st.none() | TEXTS)
def test_options_of_other_packages_nets(world, net, which, value, more):
    options = {more or OTHERS[net][which % len(OTHERS[net])]: value}
    with world.sentence():
        make_net(net, options)


NAMES = st.one_of(
    TEXTS,
    st.from_regex(r"resnet[0-9]{0,25}(-cifar|-stagewise)?", fullmatch=True),
    st.from_regex(r"wrn-[0-9]{0,12}x[0-9]{0,12}", fullmatch=True),
    st.from_regex(r"(torchvision|timm|os|builtins|json|\.|os\.path|)(:|::|:\.)[a-z_.]{0,8}", fullmatch=True),
    st.sampled_from(list(NETS)).map(lambda name: f"{name} "),
    st.sampled_from(
        ["os:system", "builtins:exec", "subprocess:Popen", "pathlib:Path", "x" * 5000, "timm:" + "y" * 300]
    ),
)


@fuzz(50, 500, name=NAMES)
def test_any_name_is_a_net_or_a_sentence(world, name):
    assume(name not in NETS and not name.startswith("-"))
    if name.startswith(("resnet", "wrn-")):  # may be one, and large
        world.unskip("inspect", name, "--set", "num_classes=0", codes=(2,))
    else:
        world.refused("inspect", "--set", "num_classes=0", "--", name)


@fuzz(6, 30, key=st.sampled_from(["teacher", "student"]), name=st.sampled_from(["net", "nothing", "open", "os.system"]))
def test_a_recipe_does_not_run_code(world, key, name):
    (world.folder / "code.yaml").write_text(f"{key}: {{net: '{CANARY_MODULE}:{name}'}}")
    world.refused("run", "code.yaml")
