"""A plain `torch.nn.Module` where a `StagedNet` is expected."""

import pytest
import torch
from torch import nn

from unskip import UnskipError, export_net, forecast, inventory, make_net, save_net
from unskip.nets import staged
from unskip.surgery import residual_blocks
from unskip.torchvision_compat import torchvision
from unskip.weights import load_weights


def lenet(channels: int, side: int) -> nn.Module:
    """It runs on images of one size only."""
    pixels = (side // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * pixels, 10),
    )


def test_a_staged_net_stays_what_it_is():
    net = make_net("resnet14")
    assert staged(net) is net


def test_a_plain_network_is_parsed_as_a_copy_in_its_mode():
    model = torchvision.models.resnet18().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    net = staged(model)
    assert len(residual_blocks(net)) == 8
    assert not net.training
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(net(images), model(images))
    with torch.no_grad():
        next(net.parameters()).zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (6, 64)])
def test_a_usual_size_and_the_first_convolution_s_channels_are_tried(channels, side):
    assert staged(lenet(channels, side)).part_names == ("stem", "stage1", "head")


def test_images_of_an_unusual_size_are_asked_for():
    model = lenet(3, 50)
    with pytest.raises(UnskipError, match="example_input"):
        staged(model)
    assert staged(model, torch.randn(2, 3, 50, 50)).stage_names == ("stage1",)


def test_a_side_that_timm_notes_comes_first():
    model = lenet(3, 50)
    model.pretrained_cfg = {"input_size": (3, 50, 50)}
    assert staged(model).stage_names == ("stage1",)


@pytest.mark.parametrize(
    ("value", "word"),
    [(3, "Module"), ("resnet14", "Module"), (nn.LazyConv2d(3, 3), "lazy"), (nn.Linear(3, 3), "Linear")],
)
def test_what_is_no_network_is_refused_in_a_sentence(value, word):
    with pytest.raises(UnskipError, match=word) as refusal:
        staged(value)
    assert "\n" not in str(refusal.value)


def test_public_functions_take_plain_networks(tmp_path):
    model = torchvision.models.resnet18(num_classes=3).eval()
    assert len(inventory(model, (3, 64, 64))) == 8
    assert forecast(model, (3, 64, 64)).peak_bytes == forecast(staged(model), (3, 64, 64)).peak_bytes
    exported = export_net(lenet(3, 32), tmp_path / "net.onnx", torch.randn(2, 3, 32, 32))
    assert exported.path.exists()


def test_what_changes_a_network_in_place_asks_for_a_staged_one(tmp_path):
    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UnskipError, match="StagedNet, not a ResNet"):
        load_weights(model, tmp_path / "weights.pth")
    with pytest.raises(UnskipError, match="spec"):
        save_net(staged(model), tmp_path / "net.safetensors", None)
