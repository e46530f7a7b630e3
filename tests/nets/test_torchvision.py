"""torchvision's networks and ours with the same weights compute the same, bit by bit, also while they train."""

import pytest
import torch
from torch import nn

from unskip import UnskipError, make_net
from unskip.nets import find_net
from unskip.torchvision_compat import torchvision
from unskip.weights import load_weights

from .random_statistics import with_random_statistics

NUM_CLASSES = 11


def assert_same_function(ours: nn.Module, theirs: nn.Module, images: torch.Tensor) -> None:
    """In eval mode, and in train mode with the same random numbers for dropout."""
    with torch.no_grad():
        assert torch.equal(ours.eval()(images), theirs.eval()(images))
        torch.manual_seed(3)
        expected = theirs.train()(images)
        torch.manual_seed(3)
        assert torch.equal(ours.train()(images), expected)
        assert torch.equal(ours.eval()(images), theirs.eval()(images)), "the statistics moved alike"


def assert_same_weights_same_function(name: str, options: dict, theirs: nn.Module) -> None:
    with_random_statistics(theirs)
    ours = make_net(name, {"num_classes": NUM_CLASSES, **options})
    ours.load_state_dict(find_net(name).from_torchvision(theirs.state_dict()))
    assert_same_function(ours, theirs, torch.randn(2, 3, 72, 56, generator=torch.Generator().manual_seed(0)))


def small_vgg(depth: int, width: int = 8) -> nn.Module:
    """torchvision's VGG with an eighth of its channels; its classifier is fixed, so its form is repeated here."""
    models = torchvision.models.vgg
    letter = {11: "A", 13: "B", 16: "D", 19: "E"}[depth]
    layers = [entry if entry == "M" else entry * width // 64 for entry in models.cfgs[letter]]
    features = models.make_layers(layers, batch_norm=True)
    with torch.device("meta"):
        net = models.VGG(features, init_weights=False)
    sizes = [8 * width * 7 * 7, 64 * width, 64 * width, NUM_CLASSES]
    for place, inputs, outputs in zip((0, 3, 6), sizes, sizes[1:], strict=False):
        net.classifier[place] = nn.Linear(inputs, outputs)
    return net


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_resnets(name):
    torch.manual_seed(1)
    assert_same_weights_same_function(name, {}, torchvision.models.get_model(name, num_classes=NUM_CLASSES))


@pytest.mark.parametrize("width_mult", [0.5, 0.75, 1.0, 1.4])
def test_mobilenet(width_mult):
    torch.manual_seed(1)
    theirs = torchvision.models.mobilenet_v2(num_classes=NUM_CLASSES, width_mult=width_mult, dropout=0.3)
    assert_same_weights_same_function("mobilenetv2", {"width_mult": width_mult, "dropout": 0.3}, theirs)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_with_an_eighth_of_the_channels(depth):
    torch.manual_seed(1)
    assert_same_weights_same_function(f"vgg{depth}", {"width": 8}, small_vgg(depth))


FILES = {
    "resnet18": ({}, lambda: torchvision.models.resnet18(num_classes=NUM_CLASSES)),
    "mobilenetv2": (
        {"width_mult": 0.5},
        lambda: torchvision.models.mobilenet_v2(num_classes=NUM_CLASSES, width_mult=0.5),
    ),
    "vgg13": ({"width": 8}, lambda: small_vgg(13)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_state_dict_in_a_file(name, tmp_path):
    options, theirs = FILES[name]
    torch.manual_seed(1)
    theirs = with_random_statistics(theirs())
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = make_net(name, {"num_classes": NUM_CLASSES, **options})
    load_weights(ours, tmp_path / "theirs.pth")
    assert_same_function(ours, theirs, torch.randn(2, 3, 64, 48))
    torch.save(ours.state_dict(), tmp_path / "ours.pth")
    again = make_net(name, {"num_classes": NUM_CLASSES, **options})
    load_weights(again, tmp_path / "ours.pth")
    assert_same_function(again, ours, torch.randn(2, 3, 64, 48))


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "resnet50", "mobilenetv2"])
def test_weights_of_another_net_are_refused(name, tmp_path):
    torch.save(small_vgg(13).state_dict(), tmp_path / "vgg13.pth")
    options = {"width": 8} if name.startswith("vgg") else {}
    with pytest.raises(UnskipError, match=f"does not belong to {name}, but looks like vgg13.*(missing|not in the net)"):
        load_weights(make_net(name, {"num_classes": NUM_CLASSES, **options}), tmp_path / "vgg13.pth")
