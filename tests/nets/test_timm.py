"""timm's networks and ours with the same weights compute the same."""

import pytest
import torch
from torch import nn

from unskip import make_net
from unskip.nets import resnet
from unskip.torchvision_compat import torchvision

from .random_statistics import with_random_statistics

assert torchvision  # timm can import it once it has been made importable
timm = pytest.importorskip("timm")

NUM_CLASSES = 11
IMAGES = torch.randn(2, 3, 72, 56, generator=torch.Generator().manual_seed(0))


def assert_close_function(ours: nn.Module, theirs: nn.Module, *, tolerance: float = 1e-6) -> None:
    with torch.no_grad():
        for training in (False, True, False):  # the last with the statistics that the second moved
            expected = theirs.train(training)(IMAGES)
            found = ours.train(training)(IMAGES)
            assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def by_order(theirs: nn.Module, ours: nn.Module) -> dict[str, torch.Tensor]:
    """Their tensors under our names, layer by layer; a convolution over a whole map becomes a linear layer."""
    pairs = zip(theirs.state_dict().values(), ours.state_dict().items(), strict=True)
    return {name: tensor.reshape(own.shape) for tensor, (name, own) in pairs}


def any_resnet(block: str, layers: list[int]) -> nn.Module:
    return timm.models.resnet.ResNet(getattr(timm.models.resnet, block), layers, num_classes=NUM_CLASSES)


RESNETS = {
    "resnet26": ("resnet26-bottleneck", {}, lambda: timm.create_model("resnet26", num_classes=NUM_CLASSES)),
    "3333-bottleneck": ("resnet38-bottleneck", {}, lambda: any_resnet("Bottleneck", [3, 3, 3, 3])),
    "3442-bottleneck": ("resnet41-bottleneck", {}, lambda: any_resnet("Bottleneck", [3, 4, 4, 2])),
    "1321-basic": ("resnet-basic", {"blocks": [1, 3, 2, 1]}, lambda: any_resnet("BasicBlock", [1, 3, 2, 1])),
    "2112-bottleneck": ("resnet-bottleneck", {"blocks": [2, 1, 1, 2]}, lambda: any_resnet("Bottleneck", [2, 1, 1, 2])),
}


@pytest.mark.parametrize("theirs", RESNETS)
def test_resnets(theirs):
    name, options, make = RESNETS[theirs]
    torch.manual_seed(1)
    net = with_random_statistics(make())
    ours = make_net(name, {"num_classes": NUM_CLASSES, **options})
    ours.load_state_dict(resnet.from_torchvision(net.state_dict()))  # timm names its layers as torchvision does
    assert_close_function(ours, net)


def test_mobilenet():
    torch.manual_seed(1)
    theirs = with_random_statistics(timm.create_model("mobilenetv2_100", num_classes=NUM_CLASSES))
    ours = make_net("mobilenetv2", {"num_classes": NUM_CLASSES, "dropout": 0.0})
    ours.load_state_dict(by_order(theirs, ours))
    assert_close_function(ours, theirs)


def test_vgg():
    torch.manual_seed(1)
    theirs = with_random_statistics(timm.create_model("vgg16_bn", num_classes=NUM_CLASSES, drop_rate=0.0))
    ours = make_net("vgg16", {"num_classes": NUM_CLASSES})
    ours.load_state_dict(by_order(theirs, ours))
    for module in ours.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    # timm convolves where we multiply: other orders of sums over 25088 numbers.
    assert_close_function(ours, theirs, tolerance=1e-5)
