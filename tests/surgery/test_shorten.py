"""A shortcut over each convolution: the formula by hand, the same layers, and no memory of its own at the peak."""

import re
from collections import OrderedDict

import pytest
import torch
from nets.random_statistics import with_random_statistics
from papers.counts import num_layers
from torch import nn

from unskip import Residual, StagedNet, UnskipError, build, forecast, inventory, make_net
from unskip.dataflow import num_parameters
from unskip.edits import fold_batchnorm, with_shortened_shortcuts, without_shortcuts
from unskip.surgery import can_be_shortened, residual_blocks, with_fading_shortcuts, with_grouped_convs

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)


def settled(name: str, **options) -> StagedNet:
    torch.manual_seed(0)
    return with_random_statistics(make_net(name, options)).eval()


@pytest.fixture(scope="module")
def net():
    return settled("resnet14", width=4)


def test_the_basic_block_by_hand(net):
    shortened = with_shortened_shortcuts(net)
    x = net.stem(IMAGES)
    for stage in net.stage_names:
        for block in net.get_submodule(stage):
            body = block.body
            x = torch.relu(body.bn1(body.conv1(x)) + block.shortcut(x))
            x = torch.relu(body.bn2(body.conv2(x)) + x)
    assert torch.equal(shortened(IMAGES), net.head(x))


def test_the_preactivation_block_by_hand():
    net = settled("wrn-16x2", width=4)
    x = net.stem(IMAGES)
    for stage in net.stage_names:
        for block in net.get_submodule(stage):
            entry, shortcut, body = (
                (block, block.residual.shortcut, block.residual.body)
                if hasattr(block, "residual")
                else (block.body, nn.Identity(), block.body)
            )
            x = torch.relu(entry.bn1(x))
            x = torch.relu(body.bn2(body.conv1(x)) + shortcut(x))
            x = body.conv2(x) + x
    assert torch.equal(with_shortened_shortcuts(net)(IMAGES), net.head(x))


def test_the_projection_spans_the_convolution_that_changes_the_shape():
    """The first bottleneck of a ResNet-50 widens with its last convolution."""
    net = settled("resnet50-cifar", width=4)
    block = net.stage1.block1
    shortened = with_shortened_shortcuts(net, only=["stage1.block1"]).stage1.block1
    body, x = block.body, net.stem(IMAGES)
    one = torch.relu(body.bn1(body.conv1(x)) + x)
    two = torch.relu(body.bn2(body.conv2(one)) + one)
    three = torch.relu(body.bn3(body.conv3(two)) + block.shortcut(two))
    assert torch.equal(shortened(x), three)
    assert [unit.kind for unit in shortened] == ["identity", "identity", "projection"]


@pytest.mark.parametrize(("name", "options"), [("resnet14", {"width": 4}), ("wrn-16x2", {"width": 4})])
def test_layers_keep_their_names_and_weights(name, options):
    net = settled(name, **options)
    shortened = with_shortened_shortcuts(net)
    tensors = shortened.state_dict()
    assert num_parameters(shortened) == num_parameters(net)
    assert len(tensors) == len(net.state_dict())
    theirs = {re.sub(r"\.(body|unit\d+)\b", "", key): tensor for key, tensor in net.state_dict().items()}
    ours = {re.sub(r"\.(body|unit\d+)\b", "", key): tensor for key, tensor in tensors.items()}
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    again = build(shortened.spec, seed=5)
    again.load_state_dict(tensors)
    assert torch.equal(again.eval()(IMAGES), shortened(IMAGES))
    with torch.no_grad():
        for parameter in shortened.parameters():
            parameter.add_(1)
    before = settled(name, **options).state_dict()
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ({"only": ["stage1.block2"]}, {"stage1.block2": 2}),
        ({"only": ["stage2"], "keep": ["projection"]}, {"stage2.block2": 2}),
        ({"keep": ["identity", "stage3"]}, {"stage2.block1": 2}),
    ],
)
def test_the_others_stay(net, arguments, left):
    shortened = with_shortened_shortcuts(net, **arguments)
    counts = {
        place: sum(part.startswith(place) for part in residual_blocks(shortened)) for place in residual_blocks(net)
    }
    assert counts == {place: left.get(place, 1) for place in residual_blocks(net)}
    assert residual_blocks(build(shortened.spec, seed=0)).keys() == residual_blocks(shortened).keys()


def test_what_is_short_already_stays(net):
    once = with_shortened_shortcuts(net)
    twice = with_shortened_shortcuts(once)
    assert list(twice.state_dict()) == list(once.state_dict())
    assert not any(map(can_be_shortened, residual_blocks(once).values()))
    assert all(map(can_be_shortened, residual_blocks(net).values()))
    plain = without_shortcuts(net)
    assert torch.equal(with_shortened_shortcuts(plain)(IMAGES), plain(IMAGES))


def test_other_edits_and_measures_work_on_the_result(net):
    shortened = with_shortened_shortcuts(net)
    images = torch.randn(1, 3, 20, 28)
    folded = fold_batchnorm(shortened)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(images), shortened(images), atol=1e-4)
    shallow = shortened.at_depth(1, 2, 1)
    assert list(residual_blocks(shallow)) == [
        f"{block}.unit{unit}"
        for block in ("stage1.block1", "stage2.block1", "stage2.block2", "stage3.block1")
        for unit in (1, 2)
    ]
    assert torch.equal(shallow(IMAGES), with_shortened_shortcuts(net.at_depth(1, 2, 1))(IMAGES))
    assert len(inventory(shortened, CIFAR)) == 12
    assert num_layers(shortened) == num_layers(net) == 14
    plain = without_shortcuts(shortened)
    assert torch.equal(plain(IMAGES), without_shortcuts(net)(IMAGES)), "without any shortcut both are the bodies"


def test_modes_stay(net):
    block = with_shortened_shortcuts(net).stage2.block1
    assert not any(module.training for module in block.modules())
    assert all(module.training for module in with_shortened_shortcuts(make_net("resnet14", {"width": 4})).modules())


@pytest.mark.parametrize(
    ("name", "shape", "peak", "plain_peak", "shortened_peak"),
    [
        ("resnet18-cifar", CIFAR, 768, 512, 512),
        ("resnet32", CIFAR, 192, 128, 128),
        # The first block's projection makes a map of its own: 16, 32 and 32 channels where a convolution has 32 and 32.
        ("wrn-22x2", CIFAR, 384, 256, 320),
    ],
)
def test_an_identity_over_one_convolution_adds_nothing_to_the_peak(name, shape, peak, plain_peak, shortened_peak):
    net = make_net(name)
    forms = (net, without_shortcuts(net), with_shortened_shortcuts(net))
    assert [forecast(form, shape).peak_bytes / 1024 for form in forms] == [peak, plain_peak, shortened_peak]


def test_no_identity_holds_memory_while_its_convolution_runs(net):
    for shortcut in inventory(with_shortened_shortcuts(net), CIFAR):
        convolutions = [name for name in shortcut.held_during if ".body." in name]
        if shortcut.kind == "identity":
            assert not convolutions


def test_bottlenecks_are_refused_by_name():
    net = make_net("resnet50", {"width": 4})
    with pytest.raises(UnskipError, match=r"1 of 1 .* stage1\.block2 because its conv1 turns 16 channels into 4"):
        with_shortened_shortcuts(net, only=["stage1.block2"])
    with pytest.raises(UnskipError, match="15 of 16") as raised:
        with_shortened_shortcuts(net)
    keep = re.search(r"keep: \[(.*)\]", str(raised.value))[1].split(", ")
    assert len(residual_blocks(with_shortened_shortcuts(net, keep=keep))) == 18
    with pytest.raises(UnskipError, match=r"stage2\.block2 because its conv1 turns 8 channels into 48"):
        with_shortened_shortcuts(make_net("mobilenetv2-cifar", {"width_mult": 0.1, "num_classes": 2}), only=["stage2"])


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)


def conv(inputs=4, outputs=4, **options):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (Residual(conv()), "a Conv2d, not a sequence"),
        (Residual(nn.Sequential(conv(), Own())), "a convolution inside of 1, a Own"),
        (Residual(nn.Sequential(conv(stride=2), nn.Upsample(scale_factor=2), conv())), "0 changes the resolution"),
        (Residual(nn.Sequential(conv(4, 6), conv(6, 8)), conv(4, 8)), "0 turns 4 channels into 6"),
        (Residual(nn.Sequential(conv(4, 8), nn.BatchNorm2d(4), conv(8, 8)), conv(4, 8)), "do not run alone"),
        (Residual(nn.Sequential(conv(), nn.MaxPool2d(2), conv()), conv(stride=2)), "projection fits none"),
        (with_fading_shortcuts(make_net("resnet8", {"width": 2})).stage1.block1, "it is a FadingResidual"),
    ],
)
def test_what_cannot_be_shortened(block, why):
    net = StagedNet({"stage1": nn.Sequential(OrderedDict(block1=block))})
    with pytest.raises(UnskipError, match=rf"stage1\.block1 because .*{why}"):
        with_shortened_shortcuts(net)
    assert not can_be_shortened(block)


def test_nested_sequences_are_opened():
    """Grouped convolutions are four layers under one name."""
    net = with_grouped_convs(settled("resnet14", width=4), groups=2)
    shortened = with_shortened_shortcuts(net, only=["stage1.block1"])
    assert {
        name.split(".")[2]
        for name, _ in shortened.stage1.block1.named_modules(prefix="stage1.block1")
        if "unit" in name
    } == {"unit1", "unit2", "unit3", "unit4"}
    assert "stage1.block1.unit2.body.conv1_pointwise.weight" in shortened.state_dict()
    assert shortened(IMAGES).shape == (2, 10)
