"""Networks by what names them."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from unskip import UnskipError, make_net, save_net
from unskip.compare.targets import find_targets
from unskip.data_info import DataInfo
from unskip.shrink.shrink_request import trained_teacher
from unskip.targets import recognised, resolve_net, trained_file
from unskip.torchvision_compat import torchvision
from unskip.weights import load_weights

IMAGES = torch.randn(2, 3, 64, 64)


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=4).eval()


@pytest.mark.parametrize("name", ["mine.pth", "mine.safetensors", "mine.pth.tar", "mine.bin"])
def test_a_file_is_the_network_whose_weights_it_holds(theirs, name, tmp_path):
    file = tmp_path / name
    if name.endswith("safetensors"):
        save_file(theirs.state_dict(), file)
    else:
        torch.save({"state_dict": theirs.state_dict()}, file)
    assert trained_file(str(file)) == file
    net, shape = resolve_net(str(file), image_size=(64, 64))
    assert shape == (3, 64, 64)
    assert net.spec.source == "resnet18"
    assert torch.allclose(net(IMAGES), theirs(IMAGES), atol=1e-5)
    plain, _ = resolve_net(str(file), edits=[("without_shortcuts", {})])
    assert torch.equal(plain[0].conv.weight, net[0].conv.weight)


def test_a_run_s_own_file_says_itself_what_it_is(tmp_path):
    net = make_net("resnet14", {"width": 4, "num_classes": 2})
    info = DataInfo(("a", "b"), (3, 16, 16), (0.0,) * 3, (1.0,) * 3)
    save_net(net, tmp_path / "own.safetensors", info)
    assert recognised(tmp_path / "own.safetensors") is None
    assert resolve_net(str(tmp_path / "own.safetensors"))[1] == (3, 16, 16)


REFUSED = [
    ("empty.pth", "it is empty"),
    ("text.pth", "no file of torch.save"),
    ("notes.txt", "no file of torch.save"),
    ("gone.pth", "no file"),
    ("transformer.bin", "no known one's.*name the network"),
    ("changed.pth", r"most like resnet18, of which it has 100 of 102 .*lacks 2 \(head.fc.weight"),
    ("deployed.onnx", "deployed file"),
]


@pytest.fixture(scope="module")
def files(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "empty.pth").touch()
    for name in ("text.pth", "notes.txt", "deployed.onnx"):
        (folder / name).write_text("hello\n")
    torch.save(torch.nn.TransformerEncoderLayer(16, 2).state_dict(), folder / "transformer.bin")
    state = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("fc.")}
    torch.save(state, folder / "changed.pth")
    return folder


@pytest.mark.parametrize(("name", "saying"), REFUSED)
def test_other_files_are_refused_in_a_sentence(files, name, saying):
    with pytest.raises(UnskipError, match=saying):
        resolve_net(str(files / name))


def test_a_trained_network_takes_no_options(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(UnskipError, match="options are fixed"):
        resolve_net(str(tmp_path / "mine.pth"), {"width": 8})


def test_a_file_that_took_another_s_place_is_looked_at_anew(tmp_path):
    for name, net in (("a.pth", make_net("resnet14")), ("b.pth", make_net("resnet20"))):
        torch.save(net.state_dict(), tmp_path / name)
    assert recognised(tmp_path / "a.pth").source == "resnet14"
    shutil.copy(tmp_path / "b.pth", tmp_path / "a.pth")
    assert recognised(tmp_path / "a.pth").source == "resnet20"


def test_a_network_s_name_goes_before_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet14").write_text("notes")
    assert resolve_net("resnet14")[0].spec.source == "resnet14"


def test_a_network_s_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    """Such as ``--out resnet14``: the same command goes on with that run, and asks for the same network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet14").mkdir()
    assert resolve_net("resnet14")[0].spec.source == "resnet14"
    assert find_targets(["resnet14"])[0].kind == "name"
    assert trained_teacher("resnet14") is None
    with pytest.raises(UnskipError, match=r"resnet14 has no run\.json"):
        resolve_net("./resnet14")


def test_weights_of_another_network_say_whose_they_look(theirs, tmp_path):
    torch.save(torchvision.models.resnet34(num_classes=4).state_dict(), tmp_path / "r34.pth")
    with pytest.raises(UnskipError, match="looks like resnet34"):
        load_weights(make_net("resnet18", {"num_classes": 4}), tmp_path / "r34.pth")


def test_weights_for_other_images_say_what_both_are_for(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    both = r"resnet18 \(width 64, num_classes 7, in_channels 1\), but to resnet18 \(num_classes 4\): 3 of another"
    with pytest.raises(UnskipError, match=both):
        load_weights(make_net("resnet18", {"num_classes": 7, "in_channels": 1}), tmp_path / "mine.pth")


@pytest.mark.parametrize("source", ["resnet18", "torchvision:resnet18"])
def test_weights_of_other_classes_say_how_to_use_them(theirs, tmp_path, source):
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(
        UnskipError,
        match=r"here: the file tells 4 classes apart, the network 7\. .* `teacher\.init.*another",
    ):
        load_weights(make_net(source, {"num_classes": 7}), tmp_path / "mine.pth")
