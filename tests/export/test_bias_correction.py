"""Biases that make up for weights in 8 bits: by the formula, and in the files of every format."""

import sys

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unskip.export import FORMATS, export_net, file_export
from unskip.export.bias_correction import correct_biases, in_8_bits
from unskip.export.file_export import FileExport, for_cpu
from unskip.export.formats._pt2e import calibrated
from unskip.nets import parse

INT8 = [name for name, format_ in FORMATS.items() if format_.int8]


def outputs(conv, images):
    return conv(images).mean((0, 2, 3))


@settings(max_examples=40, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.sampled_from([1, 3, (1, 3)]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from([0, 1, "reflect"]),
    bias=st.booleans(),
    format_=st.sampled_from([FORMATS[name] for name in INT8]),
)
def test_outputs_of_rounded_weights_have_the_mean_of_those_as_they_were(groups, kernel, stride, padding, bias, format_):
    torch.manual_seed(0)
    how = {"padding": 1, "padding_mode": "reflect"} if padding == "reflect" else {"padding": padding}
    conv = nn.Conv2d(4, 8, kernel, stride, groups=groups, bias=bias, **how).requires_grad_(False)
    images = torch.rand(5, 4, 9, 8) + torch.rand(4, 1, 1)
    weight, expected = conv.weight.clone(), outputs(conv, images)
    correct_biases(nn.Sequential(conv), [images[:2], images[2:]], format_.weight_steps)
    assert torch.equal(conv.weight, weight), "the weights are left for the format to round"
    conv.weight.copy_(in_8_bits(weight, format_.weight_steps(weight)))
    torch.testing.assert_close(outputs(conv, images), expected)


def test_a_convolution_that_computes_with_other_weights_is_left_alone():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)

    conv = Standardised(4, 8, 3)
    before = conv.bias.clone()
    correct_biases(nn.Sequential(conv), [torch.rand(2, 4, 9, 8)], FORMATS["onnx"].weight_steps)
    assert torch.equal(conv.bias, before)


def test_weights_are_rounded_to_the_nearest_steps():
    weight = torch.randn(6, 3, 3, 3)
    steps = weight.abs().flatten(1).amax(1) / 127
    for kernel, rounded, step in zip(weight, in_8_bits(weight, steps), steps, strict=True):
        allowed = torch.arange(-127, 128) * step
        nearest = allowed[(kernel[..., None] - allowed).abs().argmin(-1)]
        torch.testing.assert_close(rounded, nearest)
    assert not in_8_bits(torch.zeros(2, 1, 1, 1), torch.zeros(2)).any()


@pytest.mark.parametrize("name", INT8)
def test_a_file_has_the_steps_that_were_corrected_for(name, images, tmp_path, monkeypatch):
    """Channels from large to very small, one with one large weight and one that is zero."""
    format_ = FORMATS[name]
    if not format_.runtime.installed:
        pytest.skip(f"{name} is not installed")
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    ).requires_grad_(False)
    net[1].weight *= torch.logspace(0, -5, 8).view(-1, 1, 1, 1)
    net[1].weight[1, 0] *= 20
    net[1].weight[2] = 0
    ending = ".ethos-u55-128.pte" if name == "ethos_u" else format_.ending
    file = FileExport(tmp_path / f"net{ending}", images, None, None, None, {}, None, None)
    parsed = parse(net.eval(), images[:1])
    conversion = file.conversion(parsed, for_cpu(parsed), calibration=images)
    steps_in = steps_in_onnx if name == "onnx" else steps_in_pt2e(format_, monkeypatch)
    format_.write(conversion, file.path)
    found = steps_in(file.path)
    for weight in (net[0].weight, net[1].weight):
        expected = format_.weight_steps(weight)
        (got,) = (each for each in found if len(each) == 8 and torch.isclose(each[0], expected[0], rtol=1e-4))
        shown = torch.arange(8) != 2 if weight is net[1].weight else slice(None)
        torch.testing.assert_close(got[shown], expected[shown])


def steps_in_onnx(path):
    graph = onnx.load_model(path).graph
    values = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in values]
    return [values[node.input[1]] for node in nodes]


def steps_in_pt2e(format_, monkeypatch):
    """Those of the quantised network that the format writes."""
    module, graphs = sys.modules[type(format_).__module__], []
    monkeypatch.setattr(module, "calibrated", lambda *a, **k: graphs.append(calibrated(*a, **k)) or graphs[-1])

    def steps(path):
        nodes = [node for node in graphs[-1].graph.nodes if "dequantize_per_channel" in str(node.target)]
        return [getattr(graphs[-1], node.args[1].target).float() for node in nodes]

    return steps


@pytest.fixture
def lopsided():
    """One weight of each channel is large, the others are nearly half a step of 8 bits, and all inputs positive."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 64, 1), nn.ReLU()),
        *(nn.Conv2d(64, 64, 1, bias=False), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    ).requires_grad_(False)
    net[0].bias.fill_(1.0)
    net[2].weight[..., 0, 0] = torch.eye(64) + 0.45 / 127
    net[6].weight.abs_()
    return net.eval()


@pytest.mark.parametrize("name", INT8)
def test_a_file_in_8_bits_has_them(name, lopsided, images, tmp_path):
    """Any that had not would be at 0.1 or more; see the next test."""
    format_ = FORMATS[name]
    if not format_.runtime.installed:
        pytest.skip(f"{name} is not installed")
    ending = ".ethos-u55-128.pte" if name == "ethos_u" else format_.ending
    done = export_net(lopsided, tmp_path / f"net{ending}", images, calibration=images, max_drop=None)
    assert done.max_difference < 0.03


def test_a_file_without_them_is_far_off(lopsided, images, tmp_path, monkeypatch):
    monkeypatch.setattr(file_export, "correct_biases", lambda *_: None)
    assert export_net(lopsided, tmp_path / "net.onnx", images, calibration=images, max_drop=None).max_difference > 0.1
