import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from unskip import (
    DataInfo,
    UnskipError,
    fold_batchnorm,
    load_net,
    load_weights,
    make_net,
    recipe_from,
    run_recipe,
    save_net,
    without_shortcuts,
)
from unskip.torchvision_compat import torchvision
from unskip.weights import PRETRAINED, load_initial_weights, read_data_info

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
    save_net(saved, tmp_path / "a.safetensors", INFO)
    loaded, info = load_net(tmp_path / "a.safetensors")
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
    with pytest.raises(UnskipError, match=r"does not belong to resnet14: .*not in the net \(stage1.block3"):
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
    with pytest.raises(UnskipError, match=r"pretrained does not belong to torchvision:mobilenet_v3_small: .* shape"):
        load_weights(net, Path(PRETRAINED))


def test_nobody_publishes_weights_for_our_own_nets():
    with pytest.raises(UnskipError, match="nobody publishes weights for resnet14"):
        load_weights(make_net("resnet14"), Path(PRETRAINED))


def test_images_are_normalised_as_published_weights_expect(published, tmp_path):
    rng = np.random.default_rng(0)
    for index in range(12):
        file = tmp_path / "images" / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
    recipe = {
        "data": {"name": "image_folder", "path": str(tmp_path / "images"), "image_size": 32},
        "teacher": {"net": "torchvision:mobilenet_v3_small", "initial_weights": PRETRAINED},
        "training": {"epochs": 1, "batch_size": 4},
        "measure": {"latency": False, "parity_images": 2},
    }
    run_recipe(recipe_from(recipe), tmp_path / "run")
    info = read_data_info(tmp_path / "run" / "nets" / "teacher.safetensors")
    assert info.mean == pytest.approx((0.485, 0.456, 0.406))
    assert info.std == pytest.approx((0.229, 0.224, 0.225))
