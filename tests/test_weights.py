import argparse
import contextlib
import copy
import datetime
import functools
import json
import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from unskip import UnskipError, load_net, make_net, save_net
from unskip.data_info import DataInfo
from unskip.edits import fold_batchnorm, without_shortcuts
from unskip.recipe import recipe_from
from unskip.run_folder import RunFolder
from unskip.run_plan import data_of_run
from unskip.torchvision_compat import torchvision
from unskip.weights import PRETRAINED, load_initial_weights, load_weights, read_data_info

INFO = DataInfo(("cat", "dög"), (3, 16, 16), (0.1, 0.2, 0.3), (1.0, 0.5, 0.25))
IMAGES = torch.randn(2, 3, 16, 16)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return make_net("resnet14", {"width": 4, "num_classes": 2}).eval()


@pytest.mark.parametrize(
    "edit",
    [
        lambda net: net,
        lambda net: without_shortcuts(net, keep=["projection"]),
        lambda net: fold_batchnorm(without_shortcuts(net)),
        lambda net: copy.deepcopy(net).to(memory_format=torch.channels_last),
    ],
)
def test_what_was_saved_comes_back(net, tmp_path, edit):
    saved = edit(net).eval()
    save_net(saved, str(tmp_path / "a.safetensors"), INFO)
    loaded, info = load_net(str(tmp_path / "a.safetensors"))
    assert info == INFO
    assert loaded.spec.to_json() == saved.spec.to_json()
    assert torch.allclose(loaded(IMAGES), saved(IMAGES), atol=1e-5)
    assert all(torch.equal(tensor, saved.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_the_bytes_depend_on_the_net_alone(net, tmp_path):
    for name in "ab":
        save_net(copy.deepcopy(net), tmp_path / name, INFO)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", "-wrapped.pt", "-module.pt"])
def test_weights_of_every_kind_of_file(net, tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    state = net.state_dict()
    if suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    elif suffix == "-wrapped.pt":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif suffix == "-module.pt":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    other = make_net("resnet14", {"width": 4, "num_classes": 2}).eval()
    load_weights(other, path)
    assert torch.equal(other(IMAGES), net(IMAGES))


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


class OmegaLike(dict):
    """A class that is not read."""


WRAPPED = {
    "Lightning": lambda state: {
        "state_dict": prefixed("model.", state) | {"loss.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}}],
    },
    "compiled, in parallel": lambda state: {"net": prefixed("module._orig_mod.", state), "acc": np.float64(9)},
    "compiled inside": lambda state: {name.replace("stem.", "stem._orig_mod."): t for name, t in state.items()},
    "averaged": lambda state: {"n_averaged": torch.tensor(3)} | prefixed("module.", state),
    "nested": lambda state: {"checkpoint": {"model": {"weights": state}}, "steps": torch.arange(3)},
    "beside arguments": lambda state: {
        "model": state,
        "args": argparse.Namespace(lr=0.1, out=Path("here")),
        "when": datetime.datetime(2020, 1, 1),
        "curve": np.arange(5.0),
        "best": np.int64(3),
    },
    "half precision": lambda state: {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
    "parameters": lambda state: {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in state.items()},
    "beside a helper": lambda state: prefixed("backbone.", state) | {"projector.weight": torch.ones(4, 4)},
}


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("legacy", [False, True])
def test_checkpoints_as_people_wrap_them(net, tmp_path, wrapping, legacy, recwarn):
    content = WRAPPED[wrapping](net.state_dict())
    torch.save(content, tmp_path / "c.ckpt", _use_new_zipfile_serialization=not legacy)
    other = make_net("resnet14", {"width": 4, "num_classes": 2}).eval()
    load_weights(other, tmp_path / "c.ckpt")
    assert torch.allclose(other(IMAGES), net(IMAGES), atol=1e-2 if wrapping == "half precision" else 0)
    assert not recwarn.list


def test_a_torchvision_checkpoint_from_a_parallel_training(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=5).eval()
    for source in ("resnet18", "torchvision:resnet18"):
        torch.save({"state_dict": prefixed("module.", theirs.state_dict()), "arch": "resnet18"}, tmp_path / "r.pth.tar")
        ours = make_net(source, {"num_classes": 5}).eval()
        load_weights(ours, tmp_path / "r.pth.tar")
        images = torch.randn(1, 3, 64, 64)
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize(
    "names", [("model", "model_ema"), ("ema", "model"), ("state_dict_ema", "state_dict"), ("teacher", "student")]
)
def test_of_several_copies_the_network_s_own_is_taken_and_said(net, tmp_path, names):
    own = next(name for name in names if "ema" not in name and name != "teacher")
    other = {name: torch.zeros_like(tensor) for name, tensor in net.state_dict().items()}
    torch.save({name: net.state_dict() if name == own else other for name in names}, tmp_path / "c.pth")
    loaded = make_net("resnet14", {"width": 4, "num_classes": 2}).eval()
    with pytest.warns(UserWarning, match=rf"c\.pth .*under {own} are taken, those under .* are not"):
        load_weights(loaded, tmp_path / "c.pth")
    assert torch.equal(loaded(IMAGES), net(IMAGES))


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        ({"epoch": 3, "best": {"acc": 1.0}}, "no state dict: .* it holds epoch, best"),
        ({}, "no state dict"),
        (torch.ones(3), "no state dict: .* it holds a Tensor"),
        ({"model": {"a.weight": torch.ones(2)}}, r"does not belong to resnet14: .*not in the net \(a.weight\)"),
        ({"a": OmegaLike(lr=1)}, r"holds \S*OmegaLike, which is no plain data.*torch.save\(model.state_dict\(\)"),
        (nn.Linear(2, 2), r"holds torch.nn.modules.linear.Linear, which is no plain data"),
    ],
)
def test_files_without_the_network_s_weights_say_what_they_hold(net, tmp_path, content, saying):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(UnskipError, match=saying) as caught:
        load_weights(net, tmp_path / "c.pth")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (lambda t: t.to(torch.int8), "stem.conv.weight is int8"),
        (lambda t: t.to(torch.complex64), "stem.conv.weight is complex64"),
        (lambda t: torch.full_like(t, math.nan), "stem.conv.weight holds NaN or infinity"),
        (lambda t: torch.full_like(t, 1e300, dtype=torch.float64), "stem.conv.weight holds NaN or infinity"),
        (lambda t: t.to_sparse(), "stem.conv.weight is float32, sparse_coo"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_values_that_are_no_weights(net, tmp_path, change, saying, suffix):
    state = net.state_dict() | {"stem.conv.weight": change(net.stem.conv.weight.detach())}
    if suffix == ".pth":
        torch.save(state, tmp_path / "w.pth")
    elif state["stem.conv.weight"].is_sparse:
        pytest.skip("safetensors has no such tensors")
    else:
        safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    before = net.stem.conv.weight.clone()
    with pytest.raises(UnskipError, match=f"w{suffix}: {saying}"):
        load_weights(net, tmp_path / f"w{suffix}")
    assert torch.equal(net.stem.conv.weight, before)


def test_an_archive_that_unpacks_to_more_than_it_is(net, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(UnskipError, match=r"bomb\.pth cannot be read safely: unpacked it is larger"):
        load_weights(net, tmp_path / "bomb.pth")
    with pytest.raises(UnskipError, match="is a folder; expected a file"):
        load_weights(net, tmp_path)


def test_a_torchvision_file(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=5).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = make_net("resnet18", {"num_classes": 5}).eval()
    load_weights(ours, tmp_path / "resnet18.pth")
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_nothing_is_unpickled(net, tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, path)
    with pytest.raises(UnskipError, match="safely"):
        load_weights(net, path)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnskipError, match="safely"):
        load_weights(net, tmp_path / "plain.pth")


def test_a_checkpoint_of_another_net_says_which_keys_differ(net, tmp_path):
    save_net(make_net("resnet20", {"width": 4, "num_classes": 2}), tmp_path / "deep.safetensors", INFO)
    keys = r"does not belong to resnet14, but looks like resnet20 .*: .*not in the net \(stage1.block3"
    with pytest.raises(UnskipError, match=keys):
        load_weights(net, tmp_path / "deep.safetensors")
    save_net(without_shortcuts(net), tmp_path / "plain.safetensors", INFO)
    with pytest.raises(UnskipError, match=r"missing \(stage2.block1.shortcut"):
        load_weights(net, tmp_path / "plain.safetensors")
    save_net(make_net("resnet14", {"width": 4, "num_classes": 3}), tmp_path / "c.safetensors", INFO)
    with pytest.raises(UnskipError, match=r"head.fc.weight: \(3, 16\) in the file, \(2, 16\) in the net"):
        load_weights(net, tmp_path / "c.safetensors")


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\x10\0\0\0\0\0\0\0{}"])
def test_files_that_are_no_weights(net, tmp_path, content):
    for name in ("w.safetensors", "w.pth"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnskipError, match=name):
            load_weights(net, tmp_path / name)
    with pytest.raises(UnskipError, match="no file"):
        load_weights(net, tmp_path / "absent.pth")


def test_a_file_without_a_spec(net, tmp_path):
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UnskipError, match="no net spec"):
        load_net(tmp_path / "w.safetensors")
    safetensors.torch.save_file(net.state_dict(), tmp_path / "d.safetensors", metadata={"unskip": "{"})
    with pytest.raises(UnskipError, match="damaged"):
        load_net(tmp_path / "d.safetensors")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UnskipError, match="no state dict"):
        load_weights(net, tmp_path / "list.pt")


# Headers that others wrote

NET = {"source": "resnet8", "options": {"width": 2, "num_classes": 2}, "edits": [["without_shortcuts", {}]]}
FACTS = {"net": NET, "classes": ["a", "b"], "image_shape": [3, 16, 16], "mean": [0.5] * 3, "std": [0.25] * 3}


@functools.cache
def tensors_of_net() -> dict[str, torch.Tensor]:
    return without_shortcuts(make_net("resnet8", {"width": 2, "num_classes": 2})).state_dict()


def with_header(path: Path, facts: object) -> Path:
    """A file of the network above with another header; ``facts`` hold plain data where a file has JSON texts."""
    header = (
        {k: v if isinstance(v, bytes) else json.dumps(v) for k, v in facts.items()} if type(facts) is dict else facts
    )
    safetensors.torch.save_file(tensors_of_net(), path, metadata={"unskip": json.dumps(header)})
    return path


def test_the_header_as_it_is_reads(tmp_path):
    net, info = load_net(with_header(tmp_path / "a.safetensors", FACTS))
    assert (str(net.spec), info.classes) == ("resnet8 without shortcuts", ("a", "b"))


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        ({"image_shape": [3, 10**9, 10**9]}, "image_shape in its header is .*; expected channels, height and width"),
        ({"image_shape": [3, 16]}, "image_shape in its header"),
        ({"image_shape": [3, 16, True]}, "image_shape in its header"),
        ({"image_shape": {"0": 3}}, "image_shape in its header"),
        ({"std": [0.25, 0.25, 0]}, "std in its header is .*; expected a number above 0"),
        ({"std": [0.25, 0.25, math.nan]}, "std in its header"),
        ({"mean": [0.5, 0.5]}, "not one for each of 3 channels"),
        ({"mean": ["0.5"] * 3}, "mean in its header"),
        ({"classes": [1, 2]}, "classes in its header"),
        ({"net": []}, "no network: expected a name under 'source'"),
        ({"net": NET | {"edits": ["without_shortcuts"]}}, "pairs of a name and its arguments"),
        ({"net": NET | {"edits": [["without_shortcuts", []]]}}, "pairs of a name and its arguments"),
        ({"net": NET | {"options": []}}, "names with values under 'options'"),
        ({"net": NET | {"source": "os:system"}}, "os is not a module of your own"),
        ({"net": NET | {"options": {"width": 10**6, "num_classes": 2}}}, "resnet8: its weights would take "),
    ],
)
def test_headers_of_another_form(tmp_path, change, saying):
    with pytest.raises(UnskipError, match=saying) as caught:
        load_net(with_header(tmp_path / "a.safetensors", FACTS | change))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "{", "[" * 100_000, '{"net": "' + "[" * 100_000 + '"}'])
def test_headers_that_are_no_mapping(tmp_path, text):
    tensors = make_net("resnet8", {"width": 2}).state_dict()
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors", metadata={"unskip": text})
    for read in (load_net, read_data_info):
        with pytest.raises(UnskipError, match=r"a\.safetensors"):
            read(tmp_path / "a.safetensors")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places_in(tree: object, place: tuple = ()):
    yield place
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in children:
        yield from places_in(inner, (*place, key))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(list(places_in(FACTS))), value=PLAIN, drop=st.booleans())
def test_any_change_of_a_header_is_read_or_refused_in_a_sentence(tmp_path, place, value, drop):
    facts = copy.deepcopy(FACTS)
    if place:
        *parents, last = place
        holder = facts
        for key in parents:
            holder = holder[key]
        if drop:
            del holder[last]
        else:
            holder[last] = value
    else:
        facts = value
    with contextlib.suppress(UnskipError):
        load_net(with_header(tmp_path / "a.safetensors", facts))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_a_file_is_refused_in_a_sentence(net, tmp_path, data):
    state = {"a.weight": torch.arange(6.0), "b": torch.ones(2, 2)}
    name = data.draw(st.sampled_from(["w.safetensors", "w.pth"]))
    (safetensors.torch.save_file if name == "w.safetensors" else torch.save)(state, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with pytest.raises(UnskipError, match="w"):
        load_weights(net, tmp_path / name)


# What others publish


@pytest.fixture
def published(tmp_path, monkeypatch):
    """torchvision's smallest MobileNetV3, with its weights where a download would have left them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v3_small().eval()
    url = torchvision.models.get_model_weights("mobilenet_v3_small").DEFAULT.url
    file = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(model.state_dict(), file)
    return model


def test_published_weights_load_under_the_names_here(published):
    images = torch.randn(2, 3, 64, 64)
    net = make_net("torchvision:mobilenet_v3_small").eval()
    assert not torch.equal(net(images), published(images))
    load_weights(net, Path(PRETRAINED))
    assert torch.equal(net(images), published(images))


def test_published_weights_to_go_on_from_leave_a_new_last_layer(published):
    net = make_net("torchvision:mobilenet_v3_small", {"num_classes": 7}).eval()
    fresh = net.head.fc2.weight.clone()
    load_initial_weights(net, Path(PRETRAINED))
    assert torch.equal(net.head.fc2.weight, fresh)
    assert torch.equal(net.stem.conv.weight, published.features[0][0].weight)
    with pytest.raises(UnskipError, match=r"pretrained does not belong to torchvision:mobilenet_v3_small here: .*sha"):
        load_weights(net, Path(PRETRAINED))


def test_nobody_publishes_weights_for_our_own_nets():
    with pytest.raises(UnskipError, match="nobody publishes weights for resnet14"):
        load_weights(make_net("resnet14"), Path(PRETRAINED))


def test_images_are_normalised_as_published_weights_expect(published, tmp_path):
    """As a run reads them, which writes down what it read."""
    rng = np.random.default_rng(0)
    for index in range(12):
        file = tmp_path / "images" / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
    recipe = {
        "data": {"name": "image_folder", "path": str(tmp_path / "images"), "image_size": 32},
        "teacher": {"net": "torchvision:mobilenet_v3_small", "initial_weights": PRETRAINED},
    }
    info = data_of_run(recipe_from(recipe), RunFolder(tmp_path / "run")).info
    assert info.mean == pytest.approx((0.485, 0.456, 0.406))
    assert info.std == pytest.approx((0.229, 0.224, 0.225))
