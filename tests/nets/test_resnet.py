import pytest
import torch

from unskip import UnskipError, make_net, num_parameters
from unskip.nets.resnet import from_torchvision
from unskip.torchvision_compat import torchvision


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_torchvision_weights_give_torchvisions_outputs(name):
    torch.manual_seed(1)
    theirs = getattr(torchvision.models, name)(num_classes=11).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    ours = make_net(name, {"num_classes": 11}).eval()
    ours.load_state_dict(from_torchvision(theirs.state_dict()))
    images = torch.randn(2, 3, 96, 80)
    assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722 + 2_752), (32, 464_154 + 2_752), (56, 853_018 + 2_752)])
def test_cifar_nets_have_the_papers_size(depth, parameters):
    """He et al., table 6 (0.27M, 0.46M, 0.85M), and the projections where the shape changes."""
    assert num_parameters(make_net(f"resnet{depth}")) == parameters


def test_the_pool_opens_stage_1_and_a_cifar_form_has_none():
    assert isinstance(make_net("resnet18").stage1.pool, torch.nn.MaxPool2d)
    small = make_net("resnet18-cifar", {"width": 4})
    assert small.stem.conv.stride == (1, 1)
    assert small.features(torch.randn(1, 3, 32, 32))[0][0].shape[-1] == 32


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet322", {}, "did you mean 'resnet32'"),
        ("resnet32", {"widht": 8}, "did you mean 'width'"),
        ("resnet32", {"width": 0}, "above 0"),
        ("resnet32", {"width": True}, "above 0"),
        ("resnet32", {"small_images": 1}, "no option"),
    ],
)
def test_wrong_names_and_options(name, options, says):
    with pytest.raises(UnskipError, match=says):
        make_net(name, options)
