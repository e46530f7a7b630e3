import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.fx.experimental.optimization import fuse

from unskip.dataflow import forecast, operations, traced_once
from unskip.errors import UnskipError
from unskip.nets import Residual, make_net
from unskip.nets.tracing import trace_graph
from unskip.surgery import fold_batchnorm, without_shortcuts

from .liveness import live_bytes
from .random_nets import nets

IMAGENET = (3, 224, 224)


def mib(count):
    return round(count / 2**20, 2)


@pytest.mark.parametrize(
    ("name", "residual", "plain"), [("resnet18", 3.83, 3.83), ("resnet34", 3.83, 3.83), ("resnet50", 6.89, 4.59)]
)
def test_published_peaks(name, residual, plain):
    net = make_net(name)
    assert mib(forecast(net, IMAGENET).peak_bytes) == residual
    assert mib(forecast(without_shortcuts(net), IMAGENET).peak_bytes) == plain


def test_small_network_by_hand():
    net = make_net("resnet14", {"width": 1, "in_channels": 1})
    timeline = forecast(net, (1, 8, 8), bytes_per_element=1)
    live = [(operation.name, operation.kind, operation.live_bytes) for operation in timeline.operations[:6]]
    assert live == [
        ("stem.conv", "Conv2d", 128),
        ("stem.relu", "ReLU", 64),
        ("stage1.block1.body.conv1", "Conv2d", 128),
        ("stage1.block1.body.relu1", "ReLU", 128),
        ("stage1.block1.body.conv2", "Conv2d", 192),
        ("stage1.block1.add", "add", 128),
    ]
    assert (timeline.peak_bytes, timeline.peak_at) == (192, "stage1.block1.body.conv2")
    assert "int8" in timeline.policy
    assert forecast(net, (1, 8, 8), inplace=False, bytes_per_element=1).operations[5].live_bytes == 192


@given(net=nets(), inplace=st.booleans())
@settings(max_examples=40)
def test_forecast_is_what_a_run_holds(net, inplace):
    images = torch.randn(1, 3, 8, 8)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    timeline = forecast(net, (3, 8, 8), inplace=inplace)
    live, output = live_bytes(fuse(net.eval()), images, inplace=inplace)
    assert [operation.live_bytes for operation in timeline.operations] == live
    expected = _without_inplace_layers(net)(images)
    torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4)
    assert timeline.peak_bytes == max(live)
    assert timeline.mean_bytes == pytest.approx(sum(live) / len(live))


def _without_inplace_layers(net):
    """An in-place layer may overwrite a shortcut's input in random nets; the forecast is about the network meant."""
    net = copy.deepcopy(net).eval()
    for module in net.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    return net


@given(net=nets())
@settings(max_examples=30)
def test_folding_first_changes_nothing(net):
    assert forecast(net, (3, 8, 8)) == forecast(fold_batchnorm(net), (3, 8, 8))


def test_forecast_leaves_the_network_alone():
    net = make_net("resnet14")
    net.train()
    forecast(net, (3, 32, 32), inplace=False)
    assert all(module.training for module in net.modules())
    assert net.stem.relu.inplace
    assert next(net.parameters()).device.type == "cpu"


def test_a_parameter_is_no_feature_map():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4, 8, 8))

        def forward(self, x):
            return x * self.scale

    net = nn.Sequential(nn.Conv2d(3, 4, 1), Scaled())
    assert [operation.live_bytes for operation in forecast(net, (3, 8, 8)).operations] == [7 * 256, 4 * 256]
    assert forecast(net, (3, 8, 8)).operations[1].name == "1.mul"


def test_an_image_that_does_not_fit_is_refused():
    with pytest.raises(UnskipError, match="an image of 5 x 32 x 32 does not fit"):
        forecast(make_net("resnet14"), (5, 32, 32))


def test_a_network_that_looks_at_values_is_refused():
    class Fickle(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UnskipError, match="cannot be traced"):
        forecast(Fickle(), (3, 8, 8))


def test_what_operations_read_and_write_by_hand():
    block = Residual(nn.Conv2d(2, 2, 3, padding=1), None, nn.ReLU())
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), block, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    image, wide = 8 * 8, 2 * 8 * 8
    convolutions = (image + wide) + (wide + wide)
    addition, activation, pool = wide + wide + wide, wide + wide, wide + 2
    expected = convolutions + addition + activation + pool
    assert forecast(net, (1, 8, 8), bytes_per_element=1).moved_bytes == expected
    assert forecast(net, (1, 8, 8), inplace=False).moved_bytes == 4 * expected
    plain = nn.Sequential(net[0], block.body, block.activation, *net[2:])
    assert forecast(plain, (1, 8, 8), bytes_per_element=1).moved_bytes == expected - addition


def test_a_network_is_traced_once_within_a_block(monkeypatch):
    traced = []
    monkeypatch.setattr(operations, "trace_graph", lambda net: traced.append(net) or trace_graph(net))
    net, other = make_net("resnet14"), make_net("resnet14")
    with traced_once():
        expected = forecast(net, (3, 32, 32))
        assert forecast(net, (3, 32, 32)) == expected
        assert len(traced) == 1
        forecast(net, (3, 64, 64))
        forecast(other, (3, 32, 32))
        assert len(traced) == 3
    assert forecast(net, (3, 32, 32)) == expected
    assert len(traced) == 4
    assert len({id(copy) for copy in traced}) == 3, "a network is copied once, and anew afterwards"
