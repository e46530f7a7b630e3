import copy

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from unskip.errors import UnskipError
from unskip.export import FORMATS, export_net
from unskip.nets import StagedNet, make_net, parse


class Noise(nn.Module):
    """Never gives the same twice, so no file can agree with it."""

    def forward(self, x):
        return x + torch.rand_like(x)


@pytest.fixture(scope="module")
def written(net, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "net.onnx"
    return export_net(net, path, images, metadata={"classes": '["a", "b"]', "mean": "[0.5]"})


def with_last(net, layer):
    return StagedNet({**dict(copy.deepcopy(net).named_parts()), "last": layer})


def test_file_computes_what_the_unfolded_network_computes(net, images, written):
    session = onnxruntime.InferenceSession(written.path)
    expected = copy.deepcopy(net).eval()(images).detach()
    for batch in (1, 2, 37):
        (logits,) = session.run(["logits"], {"images": images[:batch].numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected[:batch], rtol=1e-3, atol=1e-4)


def test_file_is_one_with_a_free_batch_and_no_batchnorm(written):
    model = onnx.load_model(written.path, load_external_data=False)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_file_tells_nothing_of_this_machine_and_is_reproducible(net, images, written, tmp_path):
    again = export_net(net, tmp_path / "again.onnx", images, metadata={"classes": '["a", "b"]', "mean": "[0.5]"})
    assert again.path.read_bytes() == written.path.read_bytes()
    assert b"site-packages" not in again.path.read_bytes()


def test_the_translations_are_made_once_for_all_exports(net, images, written, tmp_path, monkeypatch):
    registered = []
    from torch.onnx._internal.exporter import _registration

    monkeypatch.setattr(_registration.ONNXRegistry, "_register", lambda *arguments: registered.append(arguments))
    again = export_net(net, tmp_path / "again.onnx", images, metadata={"classes": '["a", "b"]', "mean": "[0.5]"})
    assert again.path.read_bytes() == written.path.read_bytes()
    assert not registered


def test_a_net_that_was_trained_channels_last_gives_the_same_file(images, tmp_path):
    contents = set()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = make_net("resnet8", {"width": 4, "in_channels": 1}).to(memory_format=memory_format)
        export_net(net, tmp_path / "net.onnx", images)
        contents.add((tmp_path / "net.onnx").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("older", [b"an older file", None])
def test_file_that_differs_is_not_left_behind(older, net, images, tmp_path):
    path = tmp_path / "net.onnx"
    if older is not None:
        path.write_bytes(older)
    with pytest.raises(UnskipError, match=r"differ from the network's by 0\.\d+ of the largest value"):
        export_net(with_last(net, Noise()), path, images)
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([] if older is None else [older])


def test_nan_is_refused(net, images, tmp_path):
    broken = copy.deepcopy(net)
    with torch.no_grad():
        broken.head.fc.bias[0] = torch.nan
    with pytest.raises(UnskipError, match="by nan"):
        export_net(broken, tmp_path / "net.onnx", images)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0.0, -0.5, 0.5])
def test_padding_before_a_max_pool_is_no_padding_of_the_pool(value, tmp_path):
    """ONNX Runtime 1.31 merges the two where the value is 0, and the maps' negative borders are then not cut off."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 8, 3, padding=1), nn.ConstantPad2d(1, value), nn.MaxPool2d(3, 2)]
    model = nn.Sequential(*stem, nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    nn.init.constant_(model[0].bias, -3.0)
    images = torch.randn(5, 3, 16, 16)
    assert export_net(parse(model, images), tmp_path / "net.onnx", images).max_difference < 1e-5


def largest_pairs(integers):
    """Of each channel (channels, ...), the largest sum of two weights of a sign; of one, where it has only one."""
    channels = integers.astype(np.int64).reshape(len(integers), -1)
    sides = (np.sort(side.clip(0), axis=1)[:, -2:].sum(1) for side in (channels, -channels))
    return np.maximum(*sides)


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.int16, array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.integers(-3000, 3000)),
    st.sampled_from([1e-3, 1e-6]),
)
def test_no_two_weights_can_saturate_16_bits_and_none_is_coarser_than_in_7_bits(thousandths, unit):
    weight = (thousandths * unit).astype(np.float32)
    steps = FORMATS["onnx"].weight_steps(torch.from_numpy(weight)).numpy()
    by_channel = steps.clip(1e-30).reshape(-1, *[1] * (weight.ndim - 1))
    integers = (weight / by_channel).round()
    assert (np.abs(integers) <= 127).all()
    assert (largest_pairs(integers) * 255 < 2**15).all()
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    assert (steps <= largest / 63.5 * (1 + 1e-6)).all()
    assert (steps >= largest / 127 * (1 - 1e-6)).all()


def test_a_file_in_8_bits_computes_the_same_by_the_kernels_of_every_processor(images, tmp_path):
    """Equal weights and bright maps: where pairs are added in 16 bits, a file of 8 full bits is far off."""
    layers = [nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(8, 4)).requires_grad_(False)
    for layer in (net[0], net[2], net[6]):
        layer.weight.copy_(torch.rand_like(layer.weight) * 0.1 + 1)
    exported = export_net(net.eval(), tmp_path / "net.onnx", images, calibration=images, max_drop=None)
    values = map(onnx.numpy_helper.to_array, onnx.load_model(exported.path).graph.initializer)
    integers = [each for each in values if each.dtype == np.int8 and each.ndim > 1]
    assert len(integers) == 3
    assert all((largest_pairs(each) <= 128).all() for each in integers)
    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    exact, fast = (
        onnxruntime.InferenceSession(exported.path, options).run(None, {"images": images.numpy()})[0]
        for options in (exact, onnxruntime.SessionOptions())
    )
    assert np.abs(exact - fast).max() < 0.02 * np.abs(exact).max()
