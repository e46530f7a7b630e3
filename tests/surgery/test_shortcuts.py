import itertools

import pytest
import torch

from unskip import NetSpec, Residual, UnskipError, build, make_net
from unskip.edits import without_shortcuts
from unskip.surgery import residual_blocks

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return make_net("resnet20", {"width": 4}).eval()


def test_a_plain_block_is_conv_bn_relu_conv_bn_relu(teacher):
    block = without_shortcuts(teacher).stage2.block1
    leaves = [type(m).__name__ for m in block.modules() if not list(m.children())]
    assert leaves == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU"]


def test_the_plain_net_computes_its_bodies(teacher):
    plain = without_shortcuts(teacher).eval()
    x = teacher.stem(IMAGES)
    for name in teacher.stage_names:
        for block in teacher.get_submodule(name):
            x = torch.relu(block.body(x))
    assert torch.equal(plain(IMAGES), teacher.head(x))


def test_names_stay_and_only_projections_go(teacher):
    plain = set(without_shortcuts(teacher).state_dict())
    assert plain < set(teacher.state_dict())
    assert all(".shortcut." in name for name in set(teacher.state_dict()) - plain)


BLOCKS = [f"stage{s}.block{b}" for s, b in itertools.product((1, 2, 3), (1, 2, 3))]


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ([], []),
        (["projection"], ["stage2.block1", "stage3.block1"]),
        (["identity"], [b for b in BLOCKS if b not in ("stage2.block1", "stage3.block1")]),
        (["stage3"], BLOCKS[6:]),
        (["stage1.block2", "stage3.block1"], ["stage1.block2", "stage3.block1"]),
        (["identity", "projection"], BLOCKS),
    ],
)
def test_keep(teacher, keep, left):
    edited = without_shortcuts(teacher, keep=keep)
    assert list(residual_blocks(edited)) == left
    assert edited(IMAGES).shape == (2, 10)
    rebuilt = build(edited.spec, seed=3)
    assert list(rebuilt.state_dict()) == list(edited.state_dict())


@pytest.mark.parametrize(
    "names", [["projection"], ["identity"], ["stage3"], ["stage1.block2", "stage3.block1"], BLOCKS]
)
def test_only_is_the_rest_of_keep(teacher, names):
    gone = without_shortcuts(teacher, only=names)
    stays = without_shortcuts(teacher, keep=names)
    assert set(residual_blocks(gone)) | set(residual_blocks(stays)) == set(BLOCKS)
    assert not set(residual_blocks(gone)) & set(residual_blocks(stays))
    assert list(build(gone.spec, seed=3).state_dict()) == list(gone.state_dict())
    others = list(residual_blocks(gone))
    if others:
        assert torch.equal(gone.eval()(IMAGES), without_shortcuts(teacher, keep=others).eval()(IMAGES))


@pytest.mark.parametrize(
    ("only", "keep", "gone"),
    [
        (["stage2"], ["projection"], ["stage2.block2", "stage2.block3"]),
        (["identity"], ["stage1", "stage3.block3"], ["stage2.block2", "stage2.block3", "stage3.block2"]),
        (["stage1", "stage2.block1"], ["stage1"], ["stage2.block1"]),
        (["stage1"], ["stage1", "stage3"], []),
    ],
)
def test_what_keep_names_stays_though_only_names_it(teacher, only, keep, gone):
    edited = without_shortcuts(teacher, only=only, keep=keep)
    assert [block for block in BLOCKS if block not in residual_blocks(edited)] == gone
    assert residual_blocks(build(edited.spec, seed=0)).keys() == residual_blocks(edited).keys()


def test_the_spec_says_what_was_named(teacher):
    assert str(without_shortcuts(teacher).spec) == "resnet20 without shortcuts"
    assert str(without_shortcuts(teacher, only=["stage1"]).spec) == "resnet20 without shortcuts (only ['stage1'])"


def test_a_spec_from_before_there_was_only_can_be_built(teacher):
    old = NetSpec("resnet20", {"width": 4}, (("without_shortcuts", {"keep": ["stage1"]}),))
    assert list(residual_blocks(build(old, seed=0))) == BLOCKS[:3]


@pytest.mark.parametrize("argument", ["keep", "only"])
@pytest.mark.parametrize("wrong", ["stage9", "stage1.block7", "projections", ""])
def test_a_name_of_nothing_is_an_error(teacher, wrong, argument):
    with pytest.raises(UnskipError, match=f"{argument}: no shortcut"):
        without_shortcuts(teacher, **{argument: [wrong]})


def test_building_is_a_function_of_spec_and_seed(teacher):
    spec = without_shortcuts(teacher).spec
    state = torch.get_rng_state()
    one, same, other = (build(spec, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_residual_is_activation_of_the_sum():
    block = Residual(torch.nn.Conv2d(3, 3, 1), activation=torch.nn.ReLU())
    assert block.kind == "identity"
    assert torch.equal(block(IMAGES), torch.relu(block.body(IMAGES) + IMAGES))


def test_wide_resnets_lose_their_bare_1x1_shortcuts():
    net = make_net("wrn-16x2", {"width": 4})
    plain = without_shortcuts(net)
    gone = {f"stage{stage}.block1.residual.shortcut.weight" for stage in (1, 2, 3)}
    assert set(net.state_dict()) - set(plain.state_dict()) == gone
    assert set(plain.state_dict()) < set(net.state_dict())
    kinds = {name: block.kind for name, block in residual_blocks(net).items()}
    assert kinds == {
        f"stage{stage}.block{block}" + (".residual" if block == 1 else ""): "projection" if block == 1 else "identity"
        for stage in (1, 2, 3)
        for block in (1, 2)
    }


def test_a_plain_preactivation_block_by_hand():
    torch.manual_seed(0)
    net = make_net("wrn-16x2", {"width": 4}).eval()
    plain = without_shortcuts(net).eval()
    x = IMAGES
    with torch.no_grad():
        x = net.stem(x)
        for name in net.stage_names:
            first, second = net.get_submodule(name)
            x = first.residual.body(torch.relu(first.bn1(x)))
            x = second.body(x)
        assert torch.equal(plain(IMAGES), net.head(x))


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (["stage1.block1"], ["stage1.block1.residual"]),
        (["stage1.block1.residual", "stage3.block2"], ["stage1.block1.residual", "stage3.block2"]),
        (["stage2"], ["stage2.block1.residual", "stage2.block2"]),
        (["projection"], [f"stage{stage}.block1.residual" for stage in (1, 2, 3)]),
        (["identity"], [f"stage{stage}.block2" for stage in (1, 2, 3)]),
    ],
)
def test_keep_in_wide_resnets(keep, left):
    edited = without_shortcuts(make_net("wrn-16x2", {"width": 4}), keep=keep)
    assert list(residual_blocks(edited)) == left
    assert list(build(edited.spec, seed=3).state_dict()) == list(edited.state_dict())


def test_a_prefix_ends_at_a_dot():
    net = make_net("resnet74", {"width": 1})
    assert list(residual_blocks(without_shortcuts(net, keep=["stage1.block1"]))) == ["stage1.block1"]


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv2-cifar"])
def test_mobilenets_lose_additions_alone(name):
    net = make_net(name, {"width_mult": 0.25}).eval()
    plain = without_shortcuts(net).eval()
    assert residual_blocks(net)
    assert not residual_blocks(plain)
    assert list(plain.state_dict()) == list(net.state_dict())
    assert all(torch.equal(tensor, net.state_dict()[key]) for key, tensor in plain.state_dict().items())
    x = IMAGES
    with torch.no_grad():
        for part_name, part in net.named_parts():
            for block in part if part_name.startswith("stage") else [part]:
                x = block.body(x) if part_name.startswith("stage") else block(x)
        assert torch.equal(plain(IMAGES), x)
        assert not torch.equal(net(IMAGES), x)


def test_a_net_without_shortcuts_stays_as_it_is():
    net = make_net("vgg11-cifar", {"width": 4}).eval()
    plain = without_shortcuts(net)
    assert torch.equal(plain(IMAGES), net(IMAGES))
    with pytest.raises(UnskipError, match="no shortcut 'stage1'"):
        without_shortcuts(net, keep=["stage1"])
    again = without_shortcuts(without_shortcuts(make_net("resnet14", {"width": 4})))
    assert not residual_blocks(again)
