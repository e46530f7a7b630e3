"""Channels that go: the right ones, everywhere at once, and as many as the structure says."""

import sys

import pytest
import torch
from torch import nn

from unskip import UnskipError, build, make_net
from unskip.surgery import with_dirac_convs, with_pruned_channels, without_shortcuts
from unskip.surgery._pruning import num_left

pytest.importorskip("torch_pruning")

NETS = {
    "resnet14": {"width": 8},
    "resnet50": {"width": 8},
    "mobilenetv2-cifar": {},
    "wrn-10x1": {"width": 8},
    "timm:seresnet18": {},
    "timm:densenet121": {"growth_rate": 8},
}


def silence_even_channels(net: nn.Module) -> None:
    """Let every other channel of each layer be zero, and let nobody read it."""
    answers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][-1]
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
                layer.weight[::2] = layer.bias[::2] = 0
            elif isinstance(layer, nn.Conv2d | nn.Linear):
                if layer is not answers:
                    layer.weight[::2] = 0
                    if layer.bias is not None:
                        layer.bias[::2] = 0
                if layer.weight.shape[1] not in (1, 3):
                    layer.weight[:, ::2] = 0


@pytest.mark.parametrize("edits", [[], [without_shortcuts]], ids=["with shortcuts", "plain"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "densenet" in name else []) for name in NETS]
)
def test_channels_that_do_nothing_go_and_nothing_changes(name, edits):
    torch.manual_seed(0)
    net = make_net(name, NETS[name]).eval()
    for edit in edits:
        net = edit(net)
    silence_even_channels(net)
    images = torch.randn(2, 3, 64, 64)
    pruned = with_pruned_channels(net, ratio=0.5)
    with torch.no_grad():
        wanted, found = net(images), pruned(images)
    assert wanted.std() > 1e-4
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    maps = zip(pruned.features(images)[0], net.features(images)[0], strict=True)
    assert all(ours.shape[1] == theirs.shape[1] // 2 for ours, theirs in maps)


def test_widths_are_a_function_of_structure_alone():
    net = make_net("resnet14", {"width": 8})
    pruned = with_pruned_channels(net, ratio=0.3)
    with torch.device("meta"):
        again = build(pruned.spec, seed=0)
    plain = with_pruned_channels(without_shortcuts(net), ratio=0.3).state_dict()
    shapes = {name: tensor.shape for name, tensor in pruned.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    assert all(shapes[name] == tensor.shape for name, tensor in plain.items())
    assert [layer.out_channels for layer in pruned.modules() if isinstance(layer, nn.Conv2d)][:3] == [6, 6, 6]


@pytest.mark.parametrize(
    ("channels", "ratio", "round_to", "left"),
    [
        (16, 0.25, 1, 12),
        (10, 0.8, 1, 2),
        (6, 0.25, 1, 5),  # a half is rounded up
        (16, 0.99, 1, 1),
        (64, 0.375, 8, 40),
        (64, 0.3, 16, 48),
        (16, 0.75, 8, 8),
        (6, 0.5, 8, 6),
    ],
)
def test_how_many_stay(channels, ratio, round_to, left):
    assert num_left(channels, ratio, round_to) == left


def test_kept_layers_keep_what_goes_with_them():
    net = make_net("resnet14", {"width": 8})
    convs = {name: layer.out_channels for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}
    pruned = with_pruned_channels(net, ratio=0.5, keep=["stage2.block1"])
    left = {name: pruned.get_submodule(name).out_channels for name in convs}
    coupled = [name for name in convs if name.startswith("stage2") and "conv1" not in name]
    assert all(left[name] == convs[name] for name in [*coupled, "stage2.block1.body.conv1"])
    assert left["stage2.block2.body.conv1"] == convs["stage2.block2.body.conv1"] // 2
    alone = with_pruned_channels(without_shortcuts(net), ratio=0.5, keep=["stage2.block1"])
    assert alone.get_submodule("stage2.block2.body.conv2").out_channels == 8


def test_modes_and_frozen_parameters_stay():
    net = make_net("resnet14", {"width": 8}).eval()
    net.stem.requires_grad_(False)
    pruned = with_pruned_channels(net, ratio=0.5)
    assert not any(module.training for module in pruned.modules())
    assert {name for name, each in pruned.named_parameters() if not each.requires_grad} == {
        name for name, _ in net.named_parameters() if name.startswith("stem")
    }


@pytest.mark.parametrize(
    ("edits", "arguments", "says"),
    [
        ([], {"ratio": 1.0}, "ratio"),
        ([], {"ratio": 0.5, "keep": ["stage7"]}, "stage7"),
        ([], {"ratio": 0.01}, "no layer loses"),
        ([], {"ratio": 0.5, "round_to": 64}, "no layer loses"),
        ([with_dirac_convs], {"ratio": 0.5}, "Dirac"),
    ],
)
def test_what_is_refused(edits, arguments, says):
    net = make_net("resnet14", {"width": 8})
    for edit in edits:
        net = edit(net)
    with pytest.raises(UnskipError, match=rf"^with_pruned_channels: .*{says}"):
        with_pruned_channels(net, **arguments)


def test_without_the_extra_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UnskipError, match=r"pip install 'unskip\[prune\]'"):
        with_pruned_channels(make_net("resnet14"), ratio=0.5)
