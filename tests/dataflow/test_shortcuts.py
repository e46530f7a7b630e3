import pytest
import torch
from hypothesis import given, settings
from torch import nn

from unskip.dataflow import forecast, inventory, shortcut_share
from unskip.errors import UnskipError
from unskip.nets import make_net
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
