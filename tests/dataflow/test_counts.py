from math import prod

import pytest
import torch
from papers.counts import num_layers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unskip.dataflow import CONVENTIONS, count_macs, num_parameters
from unskip.dataflow.counts import macs_by_module
from unskip.errors import UnskipError
from unskip.nets import make_net
from unskip.surgery import with_grouped_convs, without_shortcuts
from unskip.torchvision_compat import torchvision


def test_macs_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 8 x 4 x 4 outputs, each over 3 x 3 x 3
        nn.Conv2d(8, 8, 3, padding=1, groups=4),  # 8 x 4 x 4 outputs, each over 2 x 3 x 3
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 10),
    )
    assert count_macs(net, (3, 8, 8)) == 8 * 16 * 27 + 8 * 16 * 18 + 128 * 10
    assert num_parameters(net) == (8 * 27 + 8) + (8 * 18 + 8) + (128 * 10 + 10)


def every_kind_of_layer():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2),
        nn.AvgPool2d((2, 3), stride=1),
        nn.AdaptiveAvgPool2d(3),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5, bias=False),
        nn.ReLU(),
        nn.Linear(5, 4),
    ).eval()


def slow_count(net, input_shape, convention):
    """The rules of docs/reference/counts.md, layer by layer, on a network that really runs."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        x = inputs[0]
        thop = convention == "thop-2019"
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            window = prod(layer.kernel_size)
            if isinstance(layer, nn.ConvTranspose2d):  # every input goes to a window of each output of its group
                total += x.numel() * window * layer.out_channels // layer.groups
            else:
                total += output.numel() * window * layer.in_channels // layer.groups
            total += output.numel() if thop and layer.bias is not None else 0
        elif isinstance(layer, nn.Linear):
            an_output = layer.in_features
            if thop:
                an_output = 2 * layer.in_features - (0 if layer.bias is not None else 1)
            total += an_output * output.numel()
        elif isinstance(layer, nn.BatchNorm2d):
            total += 4 * x.numel() if thop else 0
        elif isinstance(layer, nn.AvgPool2d):
            total += {"macs": 0, "torchprofile": 1, "thop-2019": prod(layer.kernel_size) + 1}[
                convention
            ] * output.numel()
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            window = (x.shape[2] // output.shape[2]) * (x.shape[3] // output.shape[3])
            total += {"macs": 0, "torchprofile": 1, "thop-2019": window + 1}[convention] * output.numel()

    hooks = [layer.register_forward_hook(count) for layer in net.modules()]
    with torch.no_grad():
        net(torch.zeros(1, *input_shape))
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("input_shape", [(3, 12, 12), (3, 14, 18)])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_convention_is_its_rules(convention, input_shape):
    net = every_kind_of_layer()
    assert count_macs(net, input_shape, convention) == slow_count(net, input_shape, convention)


def test_thop_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1),  # 4 x 5 x 5 outputs, each over 3 and a bias
        nn.BatchNorm2d(4),  # 4 for each of 100 elements
        nn.AdaptiveAvgPool2d(1),  # 25 pixels and a division for each of 4 outputs
        nn.Flatten(),
        nn.Linear(4, 2),
        nn.Linear(2, 3, bias=False),
    )
    expected = 100 * (3 + 1) + 4 * 100 + 4 * (25 + 1) + 2 * 4 * 2 + 3 * 3
    assert count_macs(net, (3, 5, 5), "thop-2019") == expected
    assert count_macs(net, (3, 5, 5), "torchprofile") == 300 + 4 + 8 + 6


def test_a_mean_over_the_image_is_an_average_pooling():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    for convention in CONVENTIONS:
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        assert count_macs(Mean(), (3, 6, 4), convention) == count_macs(pooled, (3, 6, 4), convention)


def test_an_unknown_convention_is_refused():
    with pytest.raises(UnskipError, match="no convention 'thop'; did you mean 'thop-2019'"):
        count_macs(nn.Linear(1, 1), (1, 1, 1), "thop")


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "mobilenet_v2", "vgg11_bn", "densenet121", "convnext_tiny", "efficientnet_b0"]
)
def test_macs_are_half_of_torchs_flops(name):
    with torch.device("meta"):
        net = torchvision.models.get_model(name).eval()
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            net(torch.empty(1, 3, 224, 224))
    assert 2 * count_macs(net, (3, 224, 224)) == counter.get_total_flops()


@pytest.mark.parametrize(("name", "giga"), [("resnet18", 1.814), ("resnet50", 4.089)])
def test_macs_are_those_known_for_torchvision(name, giga):
    ours, theirs = make_net(name), torchvision.models.get_model(name)
    assert round(count_macs(theirs, (3, 224, 224)) / 1e9, 3) == giga
    assert count_macs(ours, (3, 224, 224)) == count_macs(theirs, (3, 224, 224))
    assert num_parameters(ours) == num_parameters(theirs)


def test_counting_leaves_the_network_alone():
    net = make_net("resnet14")
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for convention in CONVENTIONS:
        count_macs(net, (3, 32, 32), convention)
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_shared_parameters_count_once():
    layer = nn.Linear(4, 4)
    assert num_parameters(nn.Sequential(layer, layer)) == 20


@pytest.mark.parametrize(
    ("name", "layers"), [("resnet14", 14), ("resnet50", 50), ("resnet34-stagewise", 35), ("vgg16-cifar", 16)]
)
def test_depth_is_that_of_the_name(name, layers):
    """The head of Stagewise KD has one layer more."""
    net = make_net(name)
    assert num_layers(net) == num_layers(without_shortcuts(net)) == layers


def test_a_grouped_unit_has_two_layers():
    net = make_net("resnet14")
    assert num_layers(with_grouped_convs(net, groups=2)) == num_layers(net) + 12


def test_the_macs_of_modules_add_up():
    net, shape = make_net("resnet18", {"width": 8}), (3, 64, 64)
    found = macs_by_module(net, shape)
    assert found[""] == count_macs(net, shape) == sum(found[name] for name in net.part_names if name in found)
    block = net.get_submodule("stage2.block1")
    assert found["stage2.block1"] == count_macs(block, (8, 16, 16))
    assert found["stage2.block1.shortcut"] == count_macs(block.shortcut, (8, 16, 16))
    assert "stage1.pool" not in found
