"""What every format keeps; the formats are found, so a new one is covered without a line here."""

import copy
import json

import numpy as np
import pytest
import torch

from export.conftest import FACTS, MEAN, STD
from unskip.errors import UnskipError
from unskip.evaluation import evaluate, evaluate_file
from unskip.export import FORMATS, export_net, find_format, format_for
from unskip.nets import NetSpec
from unskip.runtimes import read_metadata, runtime_for

FLOAT_ONLY = [name for name, format_ in FORMATS.items() if not format_.int8]
IN_FLOAT32 = [name for name, format_ in FORMATS.items() if format_.float32]


@pytest.fixture(scope="module", params=FORMATS)
def format_(request):
    format_ = find_format(request.param)
    if not format_.runtime.installed:
        pytest.skip(f"{format_.name} is not installed")
    return format_


@pytest.fixture(scope="module", params=IN_FLOAT32)
def float_format(request):
    """A format for files that are the network up to rounding; in 8 bits, `max_drop` decides (test_int8.py)."""
    return find_format(request.param)


@pytest.fixture(scope="module")
def written(format_, written_as):
    return written_as(format_.name)


def test_it_agrees_with_the_network(format_, written):
    if format_.float32:
        assert written.max_difference < 1e-5
        assert (written.agreement, written.tolerance, written.precision) == (1.0, 1e-3, "float32")
    else:
        assert written.max_difference < 0.1
        assert written.quantized.max_difference == 0
        assert (written.tolerance, written.precision) == (None, "int8")
    assert written.mean_difference <= written.max_difference
    assert (written.images, written.format) == (37, format_.name)
    assert written.runtime == format_.runtime.version
    assert written.batch_size == (None if format_.free_batch else 1)
    files = {path.name: path.stat().st_size for path in written.path.parent.iterdir()}
    assert files.keys() == {path.name for path in format_.files(written.path)}
    assert written.file_bytes == sum(files[path.name] for path in format_.deployed(written.path))


def test_it_normalises_by_itself(format_, net, scaled, written):
    eager = copy.deepcopy(net).eval()
    expected = eager((scaled - MEAN[0]) / STD[0]).detach().numpy()
    program = runtime_for(written.path).load(written.path, threads=1)
    assert program.input_shape == (1, 16, 16)
    allowed = {"rtol": 1e-3, "atol": 1e-4} if format_.float32 else {"rtol": 0, "atol": 0.1 * abs(expected).max()}
    for count in (1, 2, 5):
        np.testing.assert_allclose(program(scaled[:count].numpy()), expected[:count], **allowed)


def test_metadata_round_trip(format_, net, written):
    facts = read_metadata(written.path)
    assert {key: facts[key] for key in FACTS} == FACTS
    assert json.loads(facts["image_shape"]) == [1, 16, 16]
    assert (json.loads(facts["mean"]), json.loads(facts["std"])) == ([0.5], [0.25])
    assert (facts["normalization"], facts["precision"]) == ("inside", "float32" if format_.float32 else "int8")
    assert NetSpec.from_json(json.loads(facts["net"])).to_json() == net.spec.to_json()
    assert facts["unskip"]


def test_it_tells_nothing_of_this_machine(format_, written):
    for path in format_.files(written.path):
        assert b"site-packages" not in path.read_bytes()
        assert str(path.parent).encode() not in path.read_bytes()


def test_evaluating_it_equals_evaluating_the_network(format_, net, scaled, written):
    if not format_.float32:
        pytest.skip("in 8 bits only")
    labels = torch.arange(37) % 10
    batches = list(zip(scaled.split(8), labels.split(8), strict=True))
    normalised = [((images - MEAN[0]) / STD[0], labels) for images, labels in batches]
    assert evaluate_file(written.path, batches) == evaluate(net, normalised)


def test_a_fixed_batch_normalised_outside_and_quietly(float_format, net, images, tmp_path, capfd, recwarn):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    done = export_net(net, tmp_path / f"net{float_format.ending}", images, batch_size=3)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert done.batch_size == runtime_for(done.path).load(done.path).batch_size == 3
    assert done.max_difference < 1e-5
    assert read_metadata(done.path)["normalization"] == "outside"
    assert "mean" not in read_metadata(done.path)
    assert all(module.training for module in net.modules()), "the network is left alone"
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_file_that_deviates_leaves_the_older_one(float_format, net, images, tmp_path):
    path = tmp_path / f"net{float_format.ending}"
    for file in float_format.files(path):
        file.write_bytes(b"an older file")
    with pytest.raises(UnskipError, match="0 is allowed"):
        export_net(net, path, images[:2], tolerance=0.0)
    left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert left == {file.name: b"an older file" for file in float_format.files(path)}


def test_a_missing_runtime_is_named_with_what_installs_it(format_, net, images, tmp_path, monkeypatch):
    monkeypatch.setattr(type(format_.runtime), "installed", False)
    with pytest.raises(UnskipError, match=r"is not installed: pip install \S+$"):
        export_net(net, tmp_path / f"net{format_.ending}", images)
    assert not list(tmp_path.iterdir())


def test_nan_is_refused_and_leaves_nothing(float_format, net, images, tmp_path):
    broken = copy.deepcopy(net)
    with torch.no_grad():
        broken.head.fc.bias[0] = torch.nan
    with pytest.raises(UnskipError, match="by nan"):
        export_net(broken, tmp_path / f"net{float_format.ending}", images[:1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FLOAT_ONLY)
def test_a_format_without_8_bits_says_which_have_them(name, net, images, tmp_path):
    with pytest.raises(UnskipError, match=rf"{name} files are written in float32 only; .* are for onnx, executorch"):
        export_net(net, tmp_path / f"net{FORMATS[name].ending}", images, calibration=images)


def test_no_images_are_refused(format_, net, images, tmp_path):
    with pytest.raises(UnskipError, match="there are none"):
        export_net(net, tmp_path / f"net{format_.ending}", images[:0])


def test_unknown_names_and_endings_name_the_known_ones(tmp_path):
    with pytest.raises(UnskipError, match=r"net\.tflite.*known endings: \.onnx"):
        format_for(tmp_path / "net.tflite")
    with pytest.raises(UnskipError, match="no export format 'onx'; did you mean 'onnx'"):
        find_format("onx")


def test_a_backend_that_a_format_does_not_have(net, images, tmp_path):
    for ending, backend in ((".onnx", "xnnpack"), (".pte", "vulkan")):
        with pytest.raises(UnskipError, match=r"has no backend.*executorch: xnnpack or portable"):
            export_net(net, tmp_path / f"net{ending}", images, backend=backend)
