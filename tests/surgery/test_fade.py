"""A shortcut that fades is all there at 1, gone at 0, and in between what the formula says."""

import copy

import pytest
import torch
from torch import fx, nn

from unskip import Residual, UnskipError, build, forecast, inventory, load_net, make_net, save_net
from unskip.data_info import DataInfo
from unskip.edits import without_shortcuts
from unskip.nets.fading import FadingResidual, fading_blocks, set_shortcut_factor
from unskip.surgery import (
    fold_batchnorm,
    residual_blocks,
    with_fading_shortcuts,
    without_faded_shortcuts,
)

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NETS = {
    "basic": ("resnet14", {"width": 4}),
    "bottleneck": ("resnet-bottleneck", {"width": 4, "blocks": [1, 2], "small_images": True, "num_classes": 10}),
    "preactivation": ("wrn-16x2", {"width": 4, "dropout": 0.0}),
    "mobile": ("mobilenetv2-cifar", {"width_mult": 0.25}),
}


def trained(name):
    """Statistics as after training, so that no BatchNorm is an identity."""
    torch.manual_seed(0)
    net = make_net(*NETS[name])
    for _ in range(3):
        net(torch.randn(8, 3, 32, 32))
    return net.eval()


@pytest.fixture(params=NETS)
def net(request):
    return trained(request.param)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("projects", [False, True])
@pytest.mark.parametrize("factor", [1.0, 0.7, 0.25, 0.0])
def test_a_block_is_the_formula(factor, projects, mode):
    torch.manual_seed(1)
    shortcut = nn.Conv2d(3, 3, 1) if projects else None
    block = FadingResidual(nn.Conv2d(3, 3, 1), shortcut, nn.ReLU()).train(mode == "train")
    assert block.kind == ("projection" if projects else "identity")
    block.fade_to(factor)
    carried = block.shortcut(IMAGES)
    assert torch.equal(block(IMAGES), torch.relu(block.body(IMAGES) + factor * carried))


def test_at_1_the_net_is_the_residual_net_bit_by_bit_and_so_are_its_gradients(net):
    fading = with_fading_shortcuts(net)
    assert list(fading_blocks(fading)) == list(residual_blocks(net))
    assert torch.equal(fading(IMAGES), net(IMAGES))
    same = copy.deepcopy(net)
    for one in (fading.train(), same.train()):
        one(IMAGES).square().sum().backward()
    theirs = dict(same.named_parameters())
    assert all(torch.equal(p.grad, theirs[name].grad) for name, p in fading.named_parameters())


def test_at_0_the_net_is_the_plain_net(net):
    fading, plain = with_fading_shortcuts(net), without_shortcuts(net)
    set_shortcut_factor(fading, 0.0)
    assert torch.equal(fading.eval()(IMAGES), plain.eval()(IMAGES))
    torch.manual_seed(2)
    expected = plain.train()(IMAGES)
    torch.manual_seed(2)
    found = fading.train()(IMAGES)
    assert torch.equal(found, expected)
    for one in (found, expected):
        one.square().sum().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in fading.named_parameters():
        expected = theirs[name].grad if name in theirs else torch.zeros_like(parameter)
        assert torch.allclose(parameter.grad, expected, rtol=1e-5, atol=1e-6), name


def test_what_is_left_at_the_end_is_the_plain_net_and_its_spec(net):
    fading = with_fading_shortcuts(net)
    set_shortcut_factor(fading, 0.0)
    plain = without_faded_shortcuts(fading)
    assert plain.spec == without_shortcuts(net).spec
    assert list(plain.state_dict()) == list(without_shortcuts(net).state_dict())
    assert not any(isinstance(module, Residual) for module in plain.modules())
    assert torch.equal(plain.eval()(IMAGES), fading.eval()(IMAGES))
    assert len(fading_blocks(fading)) == len(residual_blocks(net)), "the fading net itself stays"
    assert list(without_shortcuts(fading).state_dict()) == list(plain.state_dict())
    rebuilt = build(plain.spec, seed=4)
    assert list(rebuilt.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("keep", [["projection"], ["identity"], ["stage2"], ["stage1.block2", "stage3.block1"]])
def test_kept_shortcuts_do_not_fade(keep):
    net = trained("basic")
    fading = with_fading_shortcuts(net, keep=keep)
    kept = set(residual_blocks(without_shortcuts(net, keep=keep)))
    assert set(fading_blocks(fading)) == set(residual_blocks(net)) - kept
    set_shortcut_factor(fading, 0.0)
    plain = without_faded_shortcuts(fading)
    assert set(residual_blocks(plain)) == kept
    assert plain.spec == without_shortcuts(net, keep=keep).spec
    assert torch.equal(plain(IMAGES), without_shortcuts(net, keep=keep)(IMAGES))


def test_only_some_shortcuts_fade():
    net = trained("basic")
    fading = with_fading_shortcuts(net, only=["stage1", "stage2"], keep=["projection"])
    assert list(fading_blocks(fading)) == ["stage1.block1", "stage1.block2", "stage2.block2"]
    set_shortcut_factor(fading, 0.0)
    plain = without_faded_shortcuts(fading)
    expected = without_shortcuts(net, only=["stage1", "stage2"], keep=["projection"])
    assert plain.spec == expected.spec
    assert torch.equal(plain(IMAGES), expected(IMAGES))


def test_a_wrong_keep_and_a_shortcut_that_is_still_there():
    net = trained("basic")
    with pytest.raises(UnskipError, match="no shortcut 'stage9'"):
        with_fading_shortcuts(net, keep=["stage9"])
    fading = with_fading_shortcuts(net)
    fading.stage2.block1.fade_to(0.0)
    fading.stage1.block1.fade_to(0.125)
    with pytest.raises(UnskipError, match=r"5 of 6 shortcuts have not faded yet \(that of stage1\.block1 .* 0\.125\)"):
        without_faded_shortcuts(fading)


def test_the_state_carries_the_factor_through_files(tmp_path):
    fading = with_fading_shortcuts(trained("basic"))
    fading.stage1.block1.fade_to(0.0)
    fading.stage2.block2.fade_to(0.3)
    info = DataInfo(classes=tuple("0123456789"), image_shape=(3, 32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    save_net(fading, tmp_path / "net.safetensors", info)
    loaded, _ = load_net(tmp_path / "net.safetensors")
    assert loaded.stage2.block2.factor == torch.tensor(0.3)
    assert torch.equal(loaded.eval()(IMAGES), fading.eval()(IMAGES))


def test_a_loaded_factor_counts_at_once():
    """A block that has left its shortcut out in training takes it up again with the state of one that has not."""
    fading = with_fading_shortcuts(trained("basic")).train()
    state = copy.deepcopy(fading.state_dict())
    expected = copy.deepcopy(fading)(IMAGES)
    set_shortcut_factor(fading, 0.0)
    assert not torch.equal(copy.deepcopy(fading)(IMAGES), expected)
    fading.load_state_dict(state)
    assert torch.equal(fading(IMAGES), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_low_precision_and_layout_stay_what_a_residual_net_has(layout):
    net = trained("bottleneck").to(memory_format=layout)
    fading = with_fading_shortcuts(net)
    images = IMAGES.to(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = fading.features(images)[0], net.features(images)[0]
        set_shortcut_factor(fading, 0.5)
        half = fading.features(images)[0]
    for one, other, between in zip(ours, theirs, half, strict=True):
        assert one.dtype == other.dtype == between.dtype
        assert one.stride() == other.stride() == between.stride()
        assert torch.equal(one, other)
        assert not torch.equal(between, other)
    assert fading.stage1.block1.factor.dtype == torch.float32


def test_device_and_modes_are_those_of_the_net():
    with torch.device("meta"):
        net = make_net("resnet14")
        net.stage1.eval()
        fading = with_fading_shortcuts(net)
    assert fading.stage1.block1.factor.is_meta
    assert not fading.stage1.block1.training
    assert fading.stage2.block1.training


@pytest.mark.parametrize("factor", [1.0, 0.0])
def test_measures_do_not_lie_while_it_fades(factor):
    """It is a network with shortcuts until they are taken out, and is counted as one."""
    net = trained("basic")
    fading = with_fading_shortcuts(net)
    set_shortcut_factor(fading, factor)
    ours, theirs = (inventory(one, (3, 32, 32)) for one in (fading, net))
    for one, other in zip(ours, theirs, strict=True):
        assert (one.place, one.kind, one.macs) == (other.place, other.kind, other.macs)
        assert (one.bytes_held, one.parameters) == (other.bytes_held, other.parameters)
    assert forecast(fading, (3, 32, 32)).peak_bytes == forecast(net, (3, 32, 32)).peak_bytes
    traced = fx.symbolic_trace(fading.eval())
    assert torch.equal(traced(IMAGES), fading(IMAGES))
    folded = fold_batchnorm(fading)
    assert torch.allclose(folded(IMAGES), fading(IMAGES), rtol=1e-4, atol=1e-4)
