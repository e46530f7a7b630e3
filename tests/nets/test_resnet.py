import pytest
import torch

from unskip import UnskipError, make_net
from unskip.dataflow import num_parameters


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722 + 2_752), (32, 464_154 + 2_752), (56, 853_018 + 2_752)])
def test_cifar_nets_have_the_papers_size(depth, parameters):
    """He et al., table 6 (0.27M, 0.46M, 0.85M), and the projections where the shape changes."""
    assert num_parameters(make_net(f"resnet{depth}")) == parameters


def test_the_pool_opens_stage_1_and_a_cifar_form_has_none():
    assert isinstance(make_net("resnet18").stage1.pool, torch.nn.MaxPool2d)
    small = make_net("resnet18-cifar", {"width": 4})
    assert small.stem.conv.stride == (1, 1)
    assert small.features(torch.randn(1, 3, 32, 32))[0][0].shape[-1] == 32


@pytest.mark.parametrize("training", [False, True])
def test_the_head_of_stagewise_kd(training):
    """Its table 1: average and maximum pooling side by side, 256 hidden units."""
    torch.manual_seed(0)
    net = make_net("resnet14-stagewise", {"width": 4, "num_classes": 5}).train(training)
    images = torch.randn(3, 3, 96, 72)
    maps, logits = net.features(images)
    last = maps[-1]
    assert last.shape[1:] == (32, 3, 3)
    pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)
    hidden = (pooled @ net.head.hidden.weight.T + net.head.hidden.bias).clamp_min(0)
    assert hidden.shape == (3, 256)
    torch.testing.assert_close(logits, hidden @ net.head.fc.weight.T + net.head.fc.bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("depth", "blocks"), [(10, [1, 1, 1, 1]), (14, [1, 1, 2, 2]), (20, [2, 2, 3, 2])])
def test_the_nets_of_stagewise_kd(depth, blocks):
    net = make_net(f"resnet{depth}-stagewise", {"width": 4})
    assert [sum(child.startswith("block") for child in stage._modules) for stage in list(net)[1:-1]] == blocks


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet322", {}, "no network 'resnet322'; did you mean 'resnet32'.*6n\\+2 layers"),
        ("resnet5", {}, "6n\\+2 layers"),
        ("resnet", {}, "`unskip nets` lists them"),
        ("wrn-17x2", {}, "no network 'wrn-17x2': a Wide ResNet has 6n\\+4 layers"),
        ("wrn-4x2", {}, "6n\\+4 layers"),
        ("wrn-22x0", {}, "a widening of 1 or more"),
        ("wrn-22", {}, "no network 'wrn-22'; did you mean 'wrn-2"),
        ("resnet32", {"widht": 8}, "resnet32: widht: unknown key; did you mean 'width'"),
        ("resnet32", {"width": 0}, r"resnet32: width must be greater than 0 \(given: 0\)"),
        ("resnet32", {"width": True}, r"resnet32: width must be a whole number \(given: True\)"),
        ("resnet32", {"width": "8"}, r"resnet32: width must be a whole number \(given: '8'\)"),
        ("resnet32", {"small_images": 1}, "small_images: unknown key; known here: in_channels, num_classes, width"),
        ("resnet18", {"blocks": [1, 1, 1, 1]}, "blocks: unknown key"),
        ("resnet-basic", {"blocks": []}, r"resnet-basic: blocks: .*at least 1 .*\(given: \[\]\)"),
        ("resnet-basic", {"blocks": [1, 0]}, r"resnet-basic: blocks.1 must be greater than 0 \(given: 0\)"),
        ("resnet-bottleneck", {"blocks": "22"}, "resnet-bottleneck: blocks: "),
        ("resnet-bottleneck", {"blocks": [2, 1.5]}, "blocks.1 must be a whole number"),
    ],
)
def test_wrong_names_and_options(name, options, says):
    with pytest.raises(UnskipError, match=says):
        make_net(name, options)
