"""What ncnn alone asks of its user: three files that belong together, and one image at a time."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from unskip import UnskipError, parse
from unskip.export import export_net, find_format
from unskip.nets import make_net
from unskip.runtimes import read_metadata, runtime_for


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = make_net("resnet8", {"width": 2, "in_channels": 1}).eval()
    return export_net(net, tmp_path_factory.mktemp("ncnn") / "net.ncnn.param", torch.rand(3, 1, 8, 8)).path


@pytest.fixture
def file(written, tmp_path):
    """A file that a test may damage."""
    for part in find_format("ncnn").files(written):
        shutil.copy(part, tmp_path)
    return tmp_path / written.name


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_weights_that_are_cut_off_are_refused(file, share):
    weights = file.with_suffix(".bin")
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    for read in (read_metadata, runtime_for(file).load):
        with pytest.raises(UnskipError, match=r"net\.ncnn\.param.*its weights are damaged"):
            read(file)


def test_missing_parts(file):
    file.with_suffix(".json").unlink()
    assert read_metadata(file) == {}, "a file of other origin has none"
    assert runtime_for(file).load(file).input_shape is None
    file.with_suffix(".bin").unlink()
    with pytest.raises(UnskipError, match=r"its weights are missing, net\.ncnn\.bin"):
        runtime_for(file).load(file)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("[]", "expected names and texts"),
        ("{", "no JSON"),
        ('{"batch_size": "0"}', "its batch_size is damaged: 0"),
        ('{"image_shape": "[1, \\"a\\", 8]"}', "its image_shape is damaged"),
    ],
)
def test_damaged_metadata_are_one_sentence(file, metadata, said):
    file.with_suffix(".json").write_text(metadata)
    with pytest.raises(UnskipError, match=rf"net\.ncnn.*{said}") as caught:
        read_metadata(file)
        runtime_for(file).load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ReLU ", "Evil ", "ncnn has no operation Evil"),
        (" 6=18 ", " 6=18000000 ", "its operations or its weights are damaged"),
        ("0=2 1=3", "0=2 1=-3", "its operations or its weights are damaged"),
    ],
)
def test_operations_that_were_changed(file, old, new, said):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UnskipError, match=rf"net\.ncnn\.param is .*{re.escape(said)}"):
        read_metadata(file)


def test_what_ncnn_has_no_operation_for_is_refused_by_name(tmp_path):
    class Lookup(nn.Module):
        """Channels chosen by a list, which pnnx writes as an operation that ncnn does not have."""

        def __init__(self):
            super().__init__()
            self.register_buffer("order", torch.tensor([2, 0, 1, 2]))

        def forward(self, maps):
            return torch.index_select(maps, 1, self.order)

    layers = [
        nn.Conv2d(1, 3, 3, padding=1),
        Lookup(),
        nn.Conv2d(4, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    ]
    net = parse(nn.Sequential(*layers), torch.randn(2, 1, 8, 8))
    with pytest.raises(UnskipError, match=r"ncnn has no operation \S+"):
        export_net(net, tmp_path / "net.ncnn.param", torch.rand(3, 1, 8, 8))
    assert not list(tmp_path.iterdir())


def test_images_with_odd_sides_and_a_batch_of_any_size(tmp_path):
    """ncnn aligns the channels of a map in memory; rows of 15 floats do not fill what it aligns to."""
    net = make_net("resnet8", {"width": 2}).eval()
    images = torch.rand(5, 3, 15, 9)
    written = export_net(net, tmp_path / "net.ncnn.param", images)
    assert (written.batch_size, written.max_difference < 1e-5) == (None, True)
    program = runtime_for(written.path).load(written.path, threads=2)
    np.testing.assert_allclose(program(images.numpy()), net(images).detach().numpy(), rtol=1e-3, atol=1e-5)
    assert json.loads(read_metadata(written.path)["image_shape"]) == [3, 15, 9]
