import copy
import pickle

import pytest
import safetensors.torch
import torch

from unskip import DataInfo, UnskipError, fold_batchnorm, load_net, load_weights, make_net, save_net, without_shortcuts
from unskip.torchvision_compat import torchvision

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
