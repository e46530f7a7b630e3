"""What every runtime keeps; the files come from the formats that are written for them."""

import zipfile

import numpy as np
import pytest
import torch

from unskip.errors import UnskipError
from unskip.export import FORMATS, export_net
from unskip.nets import make_net
from unskip.runtimes import RUNTIMES, Estimator, find_runtime, read_metadata, runtime_for

HERE = [name for name in RUNTIMES if not isinstance(find_runtime(name), Estimator)]
"""Those of devices are asked in tests of their own, since compiling for one takes long."""


@pytest.fixture(scope="module", params=HERE)
def runtime(request):
    return find_runtime(request.param)


@pytest.fixture(scope="module")
def images():
    return torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make_net("resnet8", {"width": 2, "in_channels": 1}).eval()


@pytest.fixture(scope="module")
def file(runtime, net, images, tmp_path_factory):
    """A file for this runtime that takes three images at once."""
    return export_net(net, tmp_path_factory.mktemp("file") / f"net{runtime.endings[0]}", images, batch_size=3).path


def test_every_runtime_has_a_format():
    assert sorted(format_.runtime_name for format_ in FORMATS.values()) == sorted(RUNTIMES)


def test_a_fixed_batch_is_computed_in_pieces_the_last_one_filled_up(runtime, file, net, images):
    program = runtime.load(file, threads=1)
    assert (program.batch_size, program.input_shape) == (3, (1, 8, 8))
    expected = net(images).detach().numpy()
    for count in (1, 3, 7):
        logits = program(images[:count].numpy())
        assert logits.shape == (count, 10)
        np.testing.assert_allclose(logits, expected[:count], rtol=1e-3, atol=1e-5)


def test_a_bound_call_can_be_repeated(runtime, file, images):
    call = runtime.load(file, threads=1).bound(images[:3].numpy())
    call()
    call()


def test_loading_is_quiet(runtime, file, images, capfd):
    read_metadata(file)
    runtime.load(file)(images.numpy())
    assert capfd.readouterr() == ("", "")


def test_names_and_endings(runtime, tmp_path):
    assert isinstance(runtime, RUNTIMES[runtime.name])
    assert runtime_for(tmp_path / f"NET{runtime.endings[0].upper()}").name == runtime.name
    with pytest.raises(UnskipError, match=r"no runtime 'onnxruntim'; did you mean 'onnxruntime'"):
        find_runtime("onnxruntim")
    with pytest.raises(UnskipError, match=r"net\.tflite is no deployed file; known endings: .*\.onnx"):
        runtime_for(tmp_path / "net.tflite")


@pytest.mark.parametrize("use", ["load", "read_metadata"])
def test_a_missing_file_is_named(use, runtime, tmp_path):
    with pytest.raises(UnskipError, match=r"^no file .*net"):
        getattr(runtime, use)(tmp_path / f"net{runtime.endings[0]}")


@pytest.mark.parametrize("content", ["nothing", "junk", "half"])
def test_a_damaged_file_is_refused_in_one_quiet_sentence(content, runtime, file, tmp_path, capfd):
    path = tmp_path / file.name
    whole = file.read_bytes()
    path.write_bytes({"nothing": b"", "junk": b"this is no network" * 99, "half": whole[: len(whole) // 2]}[content])
    with pytest.raises(UnskipError, match=rf"{runtime.title} \S+ cannot load .*{path.name}: \S") as error:
        runtime.load(path)
    assert "\n" not in str(error.value)
    if (runtime.name, content) != ("onnxruntime", "nothing"):  # protobuf takes nothing for a message without fields
        with pytest.raises(UnskipError, match=rf"{path.name} is no {runtime.title} file that can be read: \S"):
            runtime.read_metadata(path)
    assert capfd.readouterr() == ("", "")


def test_weights_that_are_missing_beside_an_openvino_file(net, images, tmp_path):
    path = export_net(net, tmp_path / "net.xml", images).path
    path.with_suffix(".bin").unlink()
    with pytest.raises(UnskipError, match=r"OpenVINO \S+ cannot load .*net\.xml"):
        find_runtime("openvino").load(path)


def test_a_missing_package_is_named_with_what_installs_it(runtime, file, monkeypatch):
    monkeypatch.setattr(type(runtime), "installed", False)
    with pytest.raises(UnskipError, match=rf"^{runtime.title} is not installed: pip install \S+$"):
        runtime.load(file)


def test_a_file_of_one_network_has_no_depths(runtime, file):
    with pytest.raises(UnskipError, match=r"has no depth '1-1'; it holds one network only"):
        runtime.load(file, depth="1-1")


def test_a_device_that_a_runtime_does_not_run_on(runtime, file):
    with pytest.raises(UnskipError, match="not on tpu"):
        runtime.load(file, device="tpu")


def test_openvino_runs_onnx_files_too(net, images, tmp_path):
    path = export_net(net, tmp_path / "net.onnx", images).path
    logits = find_runtime("openvino").load(path, threads=1)(images.numpy())
    np.testing.assert_allclose(logits, net(images).detach().numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("text", ["[]", "3", '{"depths": 3}', '{"label": ["a"]}', "[" * 10_000])
def test_metadata_of_another_form_are_one_sentence(tmp_path, text):
    """The PyTorch archive is the one whose metadata may be any JSON at all without the runtime's help."""
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr("a/extra/unskip.json", text)
    with pytest.raises(UnskipError, match=r"a\.pt2") as caught:
        read_metadata(tmp_path / "a.pt2")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_ends_nobody_s_process(runtime, file, tmp_path):
    """Native code reads these files; whatever it does with a damaged one, a sentence comes out."""
    content = file.read_bytes()
    for share in (0.1, 0.5, 0.97):
        path = tmp_path / file.name
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UnskipError, match="net"):
            read_metadata(path)
            runtime.load(path)(np.zeros((3, 1, 8, 8), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("place", ["../outside.bin", "link.bin", "absolute"])
def test_onnx_files_read_no_other_folders_data(tmp_path, name, place):
    onnx = pytest.importorskip("onnx")
    runtime = find_runtime(name)
    if not runtime.installed:
        pytest.skip(f"{name} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    np.zeros(4, np.float32).tofile(tmp_path / "outside.bin")
    (home / "link.bin").symlink_to(tmp_path / "outside.bin")
    weight = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    location = str(tmp_path / "outside.bin") if place == "absolute" else place
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        weight.external_data.add(key=key, value=value)
    values = [onnx.helper.make_tensor_value_info(key, 1, [1, 4]) for key in "xy"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (home / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnskipError, match=r"a\.onnx"):
        runtime.load(home / "a.onnx")
