import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from unskip import make_net
from unskip.dataflow import count_macs
from unskip.dataflow.operations import trace


@st.composite
def layers(draw):
    """A layer that reads windows of a map of two channels."""
    kind = draw(st.sampled_from(["conv", "max", "average", "relu"]))
    size, stride = draw(st.sampled_from([1, 2, 3, 5])), draw(st.sampled_from([1, 2, 3]))
    if kind == "relu":
        return nn.SiLU()
    if kind == "conv":
        dilation = draw(st.sampled_from([1, 2]))
        return nn.Conv2d(2, 3, size, stride, draw(st.integers(0, 3)), dilation)
    padding = draw(st.integers(0, size // 2))
    return nn.MaxPool2d(size, stride, padding) if kind == "max" else nn.AvgPool2d(size, stride, padding)


@given(layer=layers(), row=st.integers(0, 20), column=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_a_window_is_what_changes_an_output(layer, row, column):
    """The gradient of one place of the output reaches no place of the input outside of the window, and its corners."""
    (operation,) = trace(nn.Sequential(layer), (2, 12, 14)).operations
    images = torch.randn(1, 2, 12, 14, requires_grad=True)
    output = layer(images)
    at = (row % output.shape[2], column % output.shape[3])
    output[0, :, at[0], at[1]].sum().backward()
    reached = images.grad[0].abs().sum(0).nonzero()
    for axis, length in ((0, 12), (1, 14)):
        first, last = operation.window.needed(axis, at[axis], at[axis], length)
        places = reached[:, axis].tolist()
        assert all(first <= place <= last for place in places)
        if isinstance(layer, nn.AvgPool2d) and places:
            assert (min(places), max(places)) == (first, last)


class Functions(nn.Module):
    def forward(self, x):
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
        x = torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1)
        return x.mean((2, 3))


def test_functions_have_windows_too():
    pad, pool, average, cat, mean = trace(Functions(), (3, 16, 16)).operations
    assert pad.window.padding == (1, 1)
    assert (pool.window.size, pool.window.stride) == ((3, 3), (2, 2))
    assert (average.window.size, average.window.padding) == ((3, 3), (1, 1))
    assert cat.window.size == (1, 1)
    assert mean.window is None


def test_macs_and_weights_are_those_of_the_network():
    net = make_net("mobilenetv2-cifar")
    operations = trace(net, (3, 32, 32)).operations
    assert sum(operation.macs for operation in operations) == count_macs(net, (3, 32, 32))
    matrices = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert sum(operation.weights for operation in operations) == sum(module.weight.numel() for module in matrices)
