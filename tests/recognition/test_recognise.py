"""Whose a state dict is, by names and shapes."""

import pytest
import torch
from torch import nn

from unskip import make_net
from unskip.edits import without_shortcuts
from unskip.recognition import recognise
from unskip.torchvision_compat import torchvision

models = torchvision.models


def shapes(make, **options):
    """A network's state dict, without memory."""
    with torch.device("meta"):
        return make(**options).state_dict()


OWN = [
    ("resnet20", {"width": 8, "num_classes": 3}),
    ("resnet62", {}),
    ("wrn-16x4", {"in_channels": 1}),
    ("resnet18-cifar", {}),
    ("resnet18-stagewise", {"num_classes": 7}),
    ("resnet-bottleneck", {"blocks": [1, 2]}),
    ("mobilenetv2", {"width_mult": 0.75}),
    ("mobilenetv2-cifar", {"num_classes": 5}),
    ("vgg11-cifar", {"width": 32}),
]


@pytest.mark.parametrize(("source", "options"), OWN, ids=str)
def test_our_networks_are_known_with_their_options(source, options):
    with torch.device("meta"):
        found = recognise(make_net(source, options).state_dict())
    assert found.is_certain
    assert found.source == source
    assert dict(found.options) == options


def test_a_network_of_ours_that_was_changed_is_not_looked_for_elsewhere(monkeypatch):
    asked = []
    monkeypatch.setattr("unskip.recognition.candidates.find_foreign", asked.append)
    found = recognise(without_shortcuts(make_net("resnet14")).state_dict())
    assert (found.source, found.fits) == ("resnet14", False)
    assert asked == []


TORCHVISION = [
    ("resnet18", {"num_classes": 4}, "resnet18"),
    ("vgg11_bn", {}, "vgg11"),
    ("mobilenet_v2", {"width_mult": 0.5, "num_classes": 6}, "mobilenetv2"),
    ("resnext50_32x4d", {"num_classes": 9}, "torchvision:resnext50_32x4d"),
    ("shufflenet_v2_x1_0", {"num_classes": 2}, "torchvision:shufflenet_v2_x1_0"),
]


@pytest.mark.parametrize(("name", "options", "source"), TORCHVISION, ids=lambda value: str(value))
def test_torchvision_s_are_ours_where_we_have_them(name, options, source):
    found = recognise(shapes(lambda **given: models.get_model(name, **given), **options))
    assert found.is_certain
    assert found.source == source
    assert dict(found.options) == options


def test_timm_s_are_known_and_twins_need_a_word():
    timm = pytest.importorskip("timm")
    tensors = shapes(lambda: timm.create_model("resnet26t", num_classes=5))
    assert str(recognise(tensors)) == "timm:resnet26t (num_classes 5)"
    twins = shapes(lambda: timm.create_model("efficientnet_b0"))
    assert str(recognise({"arch": "efficientnet_b0", "state_dict": twins})) == "timm:efficientnet_b0"


@pytest.mark.slow
def test_networks_of_the_same_tensors_are_not_taken_for_each_other():
    timm = pytest.importorskip("timm")
    found = recognise(shapes(lambda: timm.create_model("efficientnet_b0")))
    assert found.fits
    assert not found.is_certain
    assert "timm:tf_efficientnet_b0" in (found.source, *found.others)


@pytest.mark.parametrize("wrapped", ["state_dict", "module.", "lightning", "ema"])
def test_however_people_wrap_them(wrapped):
    state = shapes(models.resnet18, num_classes=4)
    content = {
        "state_dict": lambda: {"state_dict": state, "epoch": 3},
        "module.": lambda: {f"module.{name}": tensor for name, tensor in state.items()},
        "lightning": lambda: {
            "state_dict": {"criterion.weight": torch.ones(4)}
            | {f"model.{name}": tensor for name, tensor in state.items()}
        },
        "ema": lambda: {"state_dict": state, "state_dict_ema": dict(state), "optimizer": {"state": {}}},
    }[wrapped]()
    assert str(recognise(content)) == "resnet18 (num_classes 4)"


def test_how_sure_it_is():
    changed = models.resnet18()
    changed.fc = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 4))
    found = recognise(changed.state_dict())
    assert found.source == "resnet18"
    assert not found.is_certain
    assert set(found.missing) == {"head.fc.weight", "head.fc.bias"}
    assert set(found.extra) == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}
    assert found.of - found.fitting == 2


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"epoch": 3},
        {"a": torch.zeros(3), "b": torch.zeros(4, 4)},
        nn.TransformerEncoderLayer(16, 2).state_dict(),
        "text",
        {"conv1.weight": torch.zeros(()), "layer1.0.conv1.weight": torch.zeros(2)},
    ],
)
def test_what_is_no_known_network_s(content):
    assert recognise(content) is None
