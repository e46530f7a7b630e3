import pytest
import torch
from torch import nn

from unskip.measure import count_macs, num_parameters
from unskip.nets import make_net
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
    count_macs(net, (3, 32, 32))
    assert all(module.training for module in net.modules())
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_shared_parameters_count_once():
    layer = nn.Linear(4, 4)
    assert num_parameters(nn.Sequential(layer, layer)) == 20
