import pytest
import torch
from hypothesis import given, settings
from torch import nn

from unskip.dataflow import forecast, inventory, shortcut_share, shortcuts_at_the_peak
from unskip.errors import UnskipError
from unskip.nets import make_net
from unskip.nets.staged_net import Residual, StagedNet
from unskip.surgery import without_shortcuts
from unskip.torchvision_compat import torchvision

from .random_nets import nets


def test_bottleneck_shortcuts_by_hand():
    first, second, *_ = inventory(make_net("resnet50"), (3, 224, 224))
    assert (first.place, first.kind) == ("stage1.block1", "projection")
    assert (first.input_shape, first.output_shape) == ((64, 56, 56), (256, 56, 56))
    assert first.macs == 64 * 256 * 56 * 56
    assert first.parameters == 64 * 256 + 2 * 256
    assert first.bytes_held == 4 * (64 + 256) * 56 * 56  # input and output of the projection while it runs
    assert (second.place, second.kind) == ("stage1.block2", "identity")
    assert (second.macs, second.parameters) == (0, 0)
    assert second.bytes_held == 4 * 256 * 56 * 56
    assert second.held_during == tuple(
        f"stage1.block2.{name}" for name in ("body.relu1", "body.conv2", "body.relu2", "body.conv3", "add")
    )


@given(net=nets())
@settings(max_examples=40)
def test_held_is_the_difference_to_the_network_without_this_shortcut(net):
    shortcuts = inventory(net, (3, 8, 8))
    places = [shortcut.place for shortcut in shortcuts]
    full = {operation.name: operation.live_bytes for operation in forecast(net, (3, 8, 8)).operations}
    for shortcut in shortcuts:
        without = without_shortcuts(net, keep=[place for place in places if place != shortcut.place])
        timeline = forecast(without, (3, 8, 8))
        held = {operation.name: full[operation.name] - operation.live_bytes for operation in timeline.operations}
        gone = full.keys() - held.keys()
        assert all(_goes_with(name, shortcut.place, net) for name in gone)
        assert {name for name, count in held.items() if count} == set(shortcut.held_during) - gone
        assert shortcut.bytes_held >= max(held.values())


def _goes_with(name, place, net):
    """Whether an operation goes with a shortcut: its layers, its addition, a BatchNorm that can now be folded."""
    if name.startswith((f"{place}.shortcut", f"{place}.add")):
        return True
    return isinstance(net.get_submodule(name), nn.BatchNorm2d)


def test_share_by_hand():
    # An identity block runs conv1, relu1, conv2, add, activation and holds 2, 2, 3, 2, 1 maps of its size, without the
    # shortcut 2, 1, 2, 1, 1. A block with a projection reads one of twice its size and runs conv1, relu1, conv2,
    # projection, add, activation with 3, 3, 4, 4, 2, 1 maps, without the shortcut 3, 1, 2, 1, 1, 1.
    identity, projection = 3, 8
    sizes = [4 * 32 * 32, 8 * 16 * 16, 16 * 8 * 8]
    held = 2 * identity * sizes[0] + (projection + identity) * (sizes[1] + sizes[2])
    net = make_net("resnet14", {"width": 4})
    live = sum(operation.live_bytes for operation in forecast(net, (3, 32, 32)).operations)
    assert shortcut_share(net, (3, 32, 32)) == pytest.approx(4 * held / live)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_plain_network_has_no_share(name):
    plain = without_shortcuts(make_net(name))
    assert inventory(plain, (3, 64, 64)) == []
    assert shortcut_share(plain, (3, 64, 64)) == 0


def test_the_shortcuts_of_a_plain_module_are_found():
    """Of torchvision's ResNet-18 as it comes: an empty list would say that it has none."""
    model = torchvision.models.resnet18().eval()
    shape = (3, 64, 64)
    assert inventory(model, shape) == inventory(make_net("torchvision:resnet18"), shape)
    assert len(inventory(model, shape)) == 8
    assert shortcut_share(model, shape) > 0
    with pytest.raises(UnskipError, match="cannot be parsed"):
        inventory(torch.nn.Linear(3, 3), shape)


@given(net=nets())
@settings(max_examples=40)
def test_those_at_the_peak_are_enough_to_remove(net):
    full, plain = (forecast(each, (3, 8, 8)).peak_bytes for each in (net, without_shortcuts(net)))
    at_the_peak = shortcuts_at_the_peak(net, (3, 8, 8))
    assert bool(at_the_peak) == (plain < full)
    if at_the_peak:
        assert forecast(without_shortcuts(net, only=at_the_peak), (3, 8, 8)).peak_bytes == plain


def test_of_a_cifar_resnet_the_first_stage_is_enough():
    net = make_net("resnet20")
    places = [shortcut.place for shortcut in inventory(net, (3, 32, 32))]
    assert shortcuts_at_the_peak(net, (3, 32, 32)) == [place for place in places if place.startswith("stage1.")]


def test_where_the_stem_has_the_peak_none_is_at_it():
    assert shortcuts_at_the_peak(make_net("resnet18"), (3, 224, 224)) == []


def test_of_shortcuts_over_one_another_all_are_named():
    """Neither alone holds anything while the second convolution runs: each holds what the other holds as well."""
    inner = Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)))
    net = StagedNet(
        {"stem": nn.Identity(), "stage1": nn.Sequential(Residual(nn.Sequential(inner))), "head": nn.Flatten()}
    )
    assert shortcuts_at_the_peak(net, (3, 8, 8)) == ["stage1.0", "stage1.0.body.0"]
