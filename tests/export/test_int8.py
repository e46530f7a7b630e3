"""Eight bits: judged by accuracy, calibrated on images, the normalisation inside."""

import onnx
import pytest
import torch

from unskip.errors import UnskipError
from unskip.evaluation import evaluate_file
from unskip.export import FORMATS, export_net
from unskip.nets import make_net
from unskip.runtimes import read_metadata

INT8 = [format_.ending for format_ in FORMATS.values() if format_.int8 and format_.float32]
NORMALIZATION = ((0.5,), (0.1,))


@pytest.fixture(scope="module")
def net(images):
    """A small one, whose BatchNorms have seen images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make_net("resnet8", {"width": 16, "in_channels": 1}).train()
        with torch.no_grad():
            for _ in range(20):
                net(images)
    return net.eval()


@pytest.fixture(scope="module")
def test(net, scaled):
    """Images with the labels that the network gives them, so that its own accuracy is 1."""
    labels = net((scaled - 0.5) / 0.1).argmax(1).detach()
    return list(zip(scaled.split(10), labels.split(10), strict=True))


@pytest.mark.parametrize("batch_size", [None, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ending", INT8)
def test_a_quantised_file_keeps_the_accuracy(ending, batch_size, net, scaled, test, tmp_path):
    settings = {"normalization": NORMALIZATION, "batch_size": batch_size}
    whole = export_net(net, tmp_path / f"whole{ending}", scaled, **settings)
    done = export_net(
        net, tmp_path / f"net{ending}", scaled, **settings, calibration=scaled, test=test, max_drop=0.2, tolerance=0
    )
    assert done.precision == read_metadata(done.path)["precision"] == "int8"
    assert done.tolerance is None
    assert 1e-4 < done.max_difference < 0.3, "it computes with fewer bits, but the same"
    assert done.scores.net.value == 1
    assert done.scores.file.images == 37
    assert done.scores.file.value == evaluate_file(done.path, test).value >= 0.8
    assert done.file_bytes < 0.8 * whole.file_bytes


def test_weights_are_8_bits_by_channel_and_the_normalisation_stays(net, scaled, test, tmp_path):
    path = tmp_path / "net.onnx"
    export_net(net, path, scaled, normalization=NORMALIZATION, calibration=scaled, test=test, max_drop=1)
    graph = onnx.load(path).graph
    scales = {tensor.name: tensor for tensor in graph.initializer if tensor.name.endswith("weight_scale")}
    assert len(scales) == sum(node.op_type in ("Conv", "Gemm") for node in graph.node)
    assert any(len(tensor.dims) == 1 and tensor.dims[0] > 1 for tensor in scales.values())
    assert [node.op_type for node in graph.node if "images" in node.input] == ["Sub"]


@pytest.mark.parametrize("ending", [".onnx", pytest.param(".pte", marks=pytest.mark.slow)])
def test_what_loses_too_much_is_refused_with_the_figures(ending, net, scaled, test, tmp_path):
    saturated = torch.full_like(scaled[:1], 0.5) + torch.randn_like(scaled[:1]) * 1e-4  # ranges that fit no image
    with pytest.raises(UnskipError, match=r"in 8 bits its top1 is [\d.]+%, [\d.]+% below .*100.00%.*37 images"):
        export_net(
            net,
            tmp_path / f"net{ending}",
            scaled,
            normalization=NORMALIZATION,
            calibration=saturated,
            test=test,
            max_drop=0.01,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("batch_size", "count"), [(50, 37), (16, 8), (7, 33), (None, 1)])
@pytest.mark.parametrize("ending", [".onnx", pytest.param(".pte", marks=pytest.mark.slow)])
def test_any_batch_and_any_number_of_images_to_calibrate_with(ending, batch_size, count, net, scaled, test, tmp_path):
    done = export_net(
        net,
        tmp_path / f"net{ending}",
        scaled,
        normalization=NORMALIZATION,
        batch_size=batch_size,
        calibration=scaled[:count],
        test=test,
        max_drop=1,
    )
    assert done.batch_size == (batch_size or (1 if ending == ".pte" else None))
    assert done.max_difference < 0.5


def test_every_image_decides_the_ranges_whatever_the_batch(net, scaled, test, tmp_path):
    """The brightest image comes last, where an incomplete batch would be."""
    images = torch.cat([scaled[:36] * 0.1, scaled[36:]])
    settings = {"normalization": NORMALIZATION, "calibration": images, "test": test, "max_drop": 1}
    scales = []
    for batch_size in (None, 8):
        export_net(net, tmp_path / "net.onnx", scaled, batch_size=batch_size, **settings)
        tensors = onnx.load(tmp_path / "net.onnx").graph.initializer
        scales.append({tensor.name: tensor.raw_data for tensor in tensors if tensor.name.endswith("_scale")})
    assert scales[0] == scales[1]


def test_no_images_to_calibrate_with(net, scaled, test, tmp_path):
    with pytest.raises(UnskipError, match="calibrated on images, and there are none"):
        export_net(net, tmp_path / "net.onnx", scaled, calibration=scaled[:0], test=test)


def test_the_portable_kernels_of_executorch_have_no_8_bits(net, scaled, test, tmp_path):
    with pytest.raises(UnskipError, match="by XNNPACK only"):
        export_net(net, tmp_path / "net.pte", scaled, calibration=scaled, test=test, backend="portable")
