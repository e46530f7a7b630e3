"""Networks of several depths in one file, equal weights stored once."""

import json
from functools import cache

import numpy as np
import onnxruntime
import pytest
import torch

from unskip.errors import UnskipError
from unskip.export import FORMATS, export_net, export_switchable
from unskip.nets import make_net
from unskip.runtimes import find_runtime, read_metadata, runtime_for
from unskip.surgery import extract, with_depth_statistics, without_depth_statistics

DEPTHS = {"1-1-1": (1, 1, 1), "1-2-1": (1, 2, 1)}
SWITCHABLE = [name for name, format_ in FORMATS.items() if format_.switchable]


@pytest.fixture(scope="module")
def family():
    """A full-net and two sub-nets with statistics of their own, as a training leaves them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = with_depth_statistics(make_net("resnet14", {"width": 8, "in_channels": 1}), depths=list(DEPTHS.values()))
        nets = {"full": net, **{name: net.at_depth(*blocks) for name, blocks in DEPTHS.items()}}
        with torch.no_grad():
            for each in nets.values():
                each.train()
                for _ in range(10):
                    each(torch.randn(16, 1, 16, 16))
    return {name: without_depth_statistics(each).eval() for name, each in nets.items()}


@pytest.fixture(scope="module")
def family_as(family, images, tmp_path_factory):
    """The family in one file of a format, written once."""

    @cache
    def family_as(name):
        path = tmp_path_factory.mktemp("written") / f"net{FORMATS[name].ending}"
        test = [(images, torch.arange(37) % 10)]
        settings = {"normalization": ((0.1,), (2.0,)), "metadata": {"classes": "[]"}}
        return export_switchable(family, path, images, **settings, test=test)

    return family_as


@pytest.fixture(params=SWITCHABLE)
def written(request, family_as):
    return family_as(request.param)


def test_every_depth_computes_what_its_network_computes(family, images, written):
    assert [done.depth for done in written] == list(family)
    assert all(done.max_difference < 1e-5 and done.agreement == 1 for done in written)
    assert all(done.scores.net.value == done.scores.file.value for done in written)
    path = written[0].path
    for depth, net in family.items():
        program = runtime_for(path).load(path, threads=1, depth=depth)
        expected = net((images - 0.1) / 2.0).detach().numpy()
        np.testing.assert_allclose(program(images.numpy()), expected, rtol=1e-3, atol=1e-4)
    first = runtime_for(path).load(path)(images.numpy())
    np.testing.assert_allclose(first, family["full"]((images - 0.1) / 2.0).detach().numpy(), rtol=1e-3, atol=1e-4)


def test_the_weights_are_stored_once(family, images, written, tmp_path):
    alone = [
        export_net(net, tmp_path / f"{depth}{written[0].path.suffix}", images).file_bytes
        for depth, net in family.items()
    ]
    assert written[0].file_bytes == written[0].path.stat().st_size < 0.7 * sum(alone)


def test_the_metadata_name_the_depths(written):
    facts = read_metadata(written[0].path)
    assert json.loads(facts["depths"]) == ["full", *DEPTHS]
    with pytest.raises(UnskipError, match=r"has no depth '2-2-2'; it has full, 1-1-1, 1-2-1"):
        runtime_for(written[0].path).load(written[0].path, depth="2-2-2")


def test_onnx_takes_the_depth_as_an_input(family, images, family_as):
    path = family_as("onnx")[0].path
    session = onnxruntime.InferenceSession(path)
    for place, net in enumerate(family.values()):
        (logits,) = session.run(["logits"], {"images": images[:2].numpy(), "depth": np.array(place, np.int64)})
        expected = net((images[:2] - 0.1) / 2.0).detach().numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(UnskipError, match="takes more than images"):
        find_runtime("openvino").load(path)


def test_batchnorm_is_folded_where_all_depths_share_it(images, tmp_path):
    net = make_net("resnet14", {"width": 4, "in_channels": 1}).eval()
    family = {"full": net, "1-1-1": extract(net.at_depth(1, 1, 1))}
    done = export_switchable(family, tmp_path / "net.onnx", images)
    assert b"BatchNormalization" not in done[0].path.read_bytes()


def test_a_depth_that_deviates_is_not_left_behind(family, images, tmp_path):
    with pytest.raises(UnskipError, match="0 is allowed"):
        export_switchable(family, tmp_path / "net.onnx", images, tolerance=0.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ending", "backend", "saying"),
    [
        (".pt2", None, "torch files hold one depth"),
        (".pte", "xnnpack", "XNNPACK stores the weights of every depth anew"),
    ],
)
def test_what_cannot_share_is_refused(ending, backend, saying, family, images, tmp_path):
    with pytest.raises(UnskipError, match=saying):
        export_switchable(family, tmp_path / f"net{ending}", images, backend=backend)
    assert not list(tmp_path.iterdir())
