import json
import shutil

import onnx
import pytest
import torch

from unskip.compare import find_targets
from unskip.dataflow import forecast
from unskip.errors import UnskipError
from unskip.weights import load_net


@pytest.fixture(autouse=True)
def _at_home(home, monkeypatch):
    monkeypatch.chdir(home)


def test_a_run_means_its_best_student_and_a_label_another_net():
    best, teacher, file = find_targets(["run", "run:teacher", "run/nets/ce.safetensors"])
    assert [target.kind for target in (best, teacher, file)] == ["run", "run", "weights"]
    assert best.home == file.home != teacher.home
    assert teacher.net.spec.edits == ()
    assert best.net.spec.edits[0][0] == "without_shortcuts"
    assert teacher.input_shape == (1, 8, 8)
    stored = load_net(teacher.home)[0].state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in teacher.net.state_dict().items())


def test_a_name_with_options_and_edits():
    (net,) = find_targets(["resnet20+width=4+num_classes=3+without_shortcuts+at_depth: {blocks: [2, 2, 2]}"], (16, 24))
    assert (net.kind, net.input_shape, net.home, net.info) == ("name", (3, 16, 24), None, None)
    assert net.net.spec.options["width"] == 4
    assert [name for name, _ in net.net.spec.edits] == ["without_shortcuts", "at_depth"]


def test_weights_by_name_are_the_same_each_time():
    one, same = find_targets(["resnet8", "resnet8"])
    assert [one.label, same.label] == ["resnet8 (1)", "resnet8 (2)"]
    assert torch.equal(one.net.stem.conv.weight, same.net.stem.conv.weight)


def test_a_deployed_file_says_what_it_holds_without_weights():
    (target,) = find_targets(["plain.onnx"])
    assert target.input_shape == (1, 8, 8)
    assert next(target.net.parameters()).is_meta
    assert forecast(target.net, (1, 8, 8)).peak_bytes == forecast(find_targets(["run"])[0].net, (1, 8, 8)).peak_bytes
    assert target.info.mean == (0.3,)
    assert target.precision == "float32"


def test_a_file_that_normalises_by_itself_takes_images_as_they_are():
    (target,) = find_targets(["inside.onnx"])
    assert (target.info.mean, target.info.std) == ((0.0,), (1.0,))


def test_a_foreign_file_is_known_by_its_input(home, tmp_path):
    model = onnx.load(home / "plain.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    (target,) = find_targets([str(tmp_path / "foreign.onnx")])
    assert (target.input_shape, target.net, target.info) == ((1, 8, 8), None, None)


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("run:kd", "run has no network 'kd'; it has teacher, ce"),
        ("nowhere/run", "no file or run folder nowhere/run"),
        ("run/recipe.yaml", "run/recipe.yaml is no state dict that can be read safely"),
        ("nowhere.onnx", "no file nowhere.onnx"),
        ("nowhere.safetensors", "no file or run folder nowhere.safetensors"),
        ("resnet5x", "no network 'resnet5x'"),
        ("resnet20+without_shortcut", "no edit 'without_shortcut'; did you mean 'without_shortcuts'"),
        ("resnet20+widht=4", "widht: unknown key; did you mean 'width'"),
        ("empty", "no run.json"),
    ],
)
def test_what_is_no_target_is_refused(text, saying, home):
    (home / "empty").mkdir(exist_ok=True)
    with pytest.raises(UnskipError, match=saying):
        find_targets(["resnet8", text])


def test_damaged_metadata_are_refused(home, tmp_path):
    model = onnx.load(home / "plain.onnx")
    for entry in model.metadata_props:
        if entry.key == "net":
            entry.value = json.dumps({"source": "resnet8"})
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(UnskipError, match=r"metadata of .*damaged\.onnx is damaged"):
        find_targets([str(tmp_path / "damaged.onnx")])


def test_a_folder_called_as_a_package_does_not_hide_its_networks(home):
    (home / "torchvision").mkdir()
    try:
        (target,) = find_targets(["torchvision:resnet18"])
    finally:
        shutil.rmtree(home / "torchvision")
    assert target.kind == "name"


def test_nothing_to_compare_is_refused():
    with pytest.raises(UnskipError, match="name what to compare"):
        find_targets([])
