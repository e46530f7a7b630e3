"""What is seen in images: a network's and a file's probabilities on images as the tests prepared theirs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from unskip import UnskipError, make_net, prepare, save_net
from unskip.data_info import DataInfo
from unskip.export import export_net
from unskip.predicting import images_in, load_classifier
from unskip.preprocessing import Preprocessing

CLASSES = tuple(f"class {number}" for number in range(7))
INFO = DataInfo(CLASSES, (3, 16, 16), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), Preprocessing("RGB", (16, 16)))
FACTS = INFO.to_json() | {"normalization": "outside"}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = make_net("resnet8", {"width": 4, "num_classes": len(CLASSES)}).eval()
    torch.nn.init.normal_(net.head.fc.weight)
    return net


@pytest.fixture(scope="module")
def home(net, tmp_path_factory):
    """The network as weights and as files that normalise inside and outside, and images in folders."""
    home = tmp_path_factory.mktemp("home")
    save_net(net, home / "net.safetensors", INFO)
    images = torch.rand(4, 3, 16, 16)
    export_net(net, home / "outside.onnx", images, metadata=INFO.to_json())
    export_net(net, home / "inside.onnx", images, metadata=INFO.to_json(), normalization=(INFO.mean, INFO.std))
    generator = np.random.default_rng(0)
    for name in ("a.png", "folder/b.jpg", "folder/deeper/c.png"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (20, 31, 3), np.uint8)
        Image.fromarray(pixels).save(home / name)
    (home / "broken.png").write_bytes(b"\x89PNG and no more")
    return home


@pytest.mark.parametrize("name", ["net.safetensors", "outside.onnx", "inside.onnx"])
def test_probabilities_are_the_network_s_on_the_same_prepared_image(net, home, name):
    image = home / "folder" / "b.jpg"
    (found,) = load_classifier(home / name).predict([image])
    with torch.inference_mode():
        expected = net(torch.from_numpy(prepare(image, FACTS))).softmax(1)[0]
    values, places = expected.topk(5)
    assert [label for label, _ in found.classes] == [CLASSES[place] for place in places]
    assert [probability for _, probability in found.classes] == pytest.approx(values.tolist(), abs=1e-5)


def test_images_are_those_named_and_those_in_folders(home):
    found = images_in([home / "folder", home / "a.png", home / "a.png"])
    assert [path.name for path in found] == ["b.jpg", "c.png", "a.png"]
    (home / "none").mkdir()
    for wrong in ("none", "nowhere.png"):
        with pytest.raises(UnskipError, match=wrong):
            images_in([home / wrong])


def test_what_cannot_be_read_is_said_in_its_place(home):
    broken, read = load_classifier(home / "net.safetensors").predict([home / "broken.png", home / "a.png"])
    assert not broken.classes
    assert "broken.png" in broken.unreadable
    assert len(read.classes) == 5
    assert json.loads(json.dumps(read.to_json()))["classes"][0]["class"] in CLASSES


def test_few_classes_are_all_named(tmp_path, home):
    net = make_net("resnet8", {"width": 4, "num_classes": 2})
    info = DataInfo(("cat", "dog"), INFO.image_shape, INFO.mean, INFO.std, INFO.preprocessing)
    save_net(net, tmp_path / "two.safetensors", info)
    (found,) = load_classifier(tmp_path / "two.safetensors").predict([home / "a.png"])
    assert {label for label, _ in found.classes} == {"cat", "dog"}
    assert sum(probability for _, probability in found.classes) == pytest.approx(1)


def test_files_that_do_not_say_what_they_see_are_refused(net, tmp_path):
    unlabelled = DataInfo((), INFO.image_shape, INFO.mean, INFO.std, INFO.preprocessing)
    save_net(net, tmp_path / "matching.safetensors", unlabelled)
    save_net(net, tmp_path / "old.safetensors", DataInfo(CLASSES, INFO.image_shape, INFO.mean, INFO.std))
    save_file(net.state_dict(), tmp_path / "bare.safetensors")
    export_net(net, tmp_path / "bare.onnx", torch.rand(4, 3, 16, 16))
    for name, saying in {
        "matching.safetensors": "tells no classes apart",
        "old.safetensors": "how images are prepared",
        "bare.safetensors": "neither which classes",
        "bare.onnx": "'classes' is missing",
        "nothing.onnx": "no file",
    }.items():
        with pytest.raises(UnskipError, match=saying):
            load_classifier(tmp_path / name)


def test_more_answers_than_names_are_refused(net, home, tmp_path):
    info = DataInfo(CLASSES[:5], INFO.image_shape, INFO.mean, INFO.std, INFO.preprocessing)
    save_net(net, tmp_path / "more.safetensors", info)
    with pytest.raises(UnskipError, match="one finite number for each of its classes"):
        next(load_classifier(tmp_path / "more.safetensors").predict([home / "a.png"]))
