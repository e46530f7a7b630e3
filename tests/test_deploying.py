"""What was trained, on disk: read as its run read it, written where it was asked for."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from PIL import Image

import unskip
from unskip.compare import Settings, bench
from unskip.deploying import data_for, evaluate_target
from unskip.errors import UnskipError
from unskip.exporting import _places, export_target
from unskip.recipe import load_recipe, recipe_from
from unskip.records import Run
from unskip.run import run_recipe
from unskip.runtimes import read_metadata
from unskip.weights import load_net, save_net

SMALL = {
    "data": {"name": "image_folder", "path": "data", "workers": 0},
    "teacher": {"net": "resnet8", "options": {"width": 4}},
    "methods": {"ce": {}},
    "training": {"epochs": 1, "batch_size": 6},
    "measure": {"latency": False, "parity_images": 4},
}


def write_images(folder, *sizes, each=6):
    """Images whose class is their brightness, (height, width) in turn."""
    for split in ("train", "test"):
        for label, level in (("dark", 60), ("light", 190)):
            (folder / split / label).mkdir(parents=True)
            for index in range(each):
                random = np.random.default_rng([index, level, split == "test"])
                pixels = random.integers(level - 60, level + 60, (*sizes[index % len(sizes)], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{index}.png")


# name: the images' sizes, the data section, the shape that networks see
RUNS = {
    "equal": ([(12, 20)], {}, (3, 12, 20)),
    "photographs": ([(60, 90), (90, 60), (41, 61)], {"image_size": [16, 24]}, (3, 16, 24)),
    "zoomed": ([(60, 90), (45, 67)], {"image_size": [16, 24], "augmentation": "resized_crop"}, (3, 16, 24)),
}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name == "zoomed" else ()) for name in RUNS]
)
def run(request, tmp_path_factory):
    """A run on rectangular images, which was started in its parent folder with a relative path: (folder, shape)."""
    home = tmp_path_factory.mktemp("home")
    sizes, settings, shape = RUNS[request.param]
    write_images(home / "data", *sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run_recipe(recipe_from({**SMALL, "data": SMALL["data"] | settings}), home / "runs" / "r")
    return home / "runs" / "r", shape


def test_a_run_on_rectangles_is_evaluated_exported_and_compared_anywhere(run, tmp_path, monkeypatch):
    folder, shape = run
    monkeypatch.chdir(tmp_path)  # where the run's relative path leads nowhere
    results = Run.read(folder)
    assert results.data.image_shape == shape
    top1 = results.score(results.best_student)
    (done,) = export_target(folder, "ce.onnx")
    assert done.scores.net.value == done.scores.file.value == top1
    data = str(folder.parents[1] / "data")
    for target, argument in ((folder, None), (folder / "export" / "ce.onnx", None), (done.path, data)):
        told = []
        found = evaluate_target(target, argument, (), progress=lambda *said, told=told: told.append(said))
        assert found.value == top1, target
        count = results.data.num_test
        assert {said for said in told if said[1] == 0} == {("scoring test images", 0, count)}
        assert {said[0] for said in told} <= {"test images", "scoring test images"}  # no training image is read
    found = bench([str(folder), "ce.onnx"], Settings(timed=False), data=data)
    assert [cell.figures["top1"].value for cell in found.groups[0].cells] == [top1, top1]
    assert {subject.input_shape for subject in found.subjects} == {shape}


def test_a_device_sees_the_run_s_pixels(run):
    folder, shape = run
    file = folder / "export" / "ce.onnx"
    facts = read_metadata(file)
    images = data_for(file, load_net(folder / "nets" / "ce.safetensors")[1], None, ()).scaled()
    seen = np.concatenate([batch.numpy() for batch, _ in images.test_batches(5).epoch(0)])
    files = sorted((folder.parents[1] / "data" / "test").rglob("*.png"))
    prepared = np.concatenate([unskip.prepare(image, facts) for image in files])
    assert prepared.shape[1:] == shape
    assert np.array_equal(prepared, seen)


def test_a_file_alone_is_evaluated_as_it_was_measured(run, tmp_path):
    """Without its run's recipe, which says how training images were cropped."""
    folder, _ = run
    for name in ("export/ce.onnx", "nets/ce.safetensors"):
        lone = shutil.copy(folder / name, tmp_path)
        alone = evaluate_target(tmp_path / lone, str(folder.parents[1] / "data"), ["data.workers=0"])
        assert alone.value == evaluate_target(folder / name, None, ()).value


def test_files_of_earlier_versions_are_evaluated_as_before(run, tmp_path):
    folder, _ = run
    older = shutil.copytree(folder, tmp_path / "r")
    net, info = load_net(older / "nets" / "ce.safetensors")
    save_net(net, older / "nets" / "ce.safetensors", replace(info, preprocessing=None))
    model = onnx.load(older / "export" / "ce.onnx")
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != "preprocessing"}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, older / "export" / "ce.onnx")
    for target in ("nets/ce.safetensors", "export/ce.onnx"):
        found = evaluate_target(older / target, None, ())
        if info.preprocessing.cover is None or info.image_shape[1] == info.image_shape[2]:
            assert found == evaluate_target(folder / target, None, ())
    with pytest.raises(UnskipError, match="exported again"):
        unskip.prepare(Image.new("RGB", (9, 9)), read_metadata(older / "export" / "ce.onnx"))


def test_images_that_moved(run, tmp_path, monkeypatch):
    folder, _ = run
    home = shutil.copytree(folder.parents[1], tmp_path / "home")
    moved = home / "runs" / "r"
    facts = json.loads((moved / "environment.json").read_text())
    (moved / "environment.json").write_text(json.dumps(facts | {"data_path": str(home / "gone")}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnskipError, match=r"the images of the run .*r are not in data; say with `data` where they are"):
        evaluate_target(moved, None, ())
    monkeypatch.chdir(home)
    assert evaluate_target(moved, None, ()) == evaluate_target(folder, None, ())
    monkeypatch.chdir("/")
    assert evaluate_target(moved, str(home / "data"), ()) == evaluate_target(folder, None, ())
    (moved / "environment.json").write_text("[")
    with pytest.raises(UnskipError, match=r"the images of the run .*r are not in data; say with `data` where they are"):
        evaluate_target(moved, None, ())


def test_a_run_goes_on_elsewhere_with_the_images_that_it_had(run, tmp_path, monkeypatch):
    folder, _ = run
    if RUNS["equal"][2] != Run.read(folder).data.image_shape:
        pytest.skip("once is enough")
    again = shutil.copytree(folder, tmp_path / "again" / "r")
    (again / "run.json").unlink()
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data", (12, 20), each=3)  # other images under the same relative path
    found = run_recipe(load_recipe(again / "recipe.yaml"), again)
    assert found.data.fingerprint == Run.read(folder).data.fingerprint


@pytest.mark.parametrize("key", ["teacher.weights", "teacher.initial_weights", "student.initial_weights"])
def test_weights_that_are_not_there_are_named_before_images_are_read(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnskipError, match=rf"^{key}: no file some/w.pth; looked for it from .*, where this command"):
        run_recipe(recipe_from(SMALL, [f"{key}=some/w.pth"]), tmp_path / "r")


@pytest.mark.parametrize(
    ("out", "formats", "files"),
    [
        (None, (), ["net.onnx"]),
        ("a/b/x.onnx", (), ["a/b/x.onnx"]),
        ("X.PT2", (), ["X.PT2"]),
        ("deployed", ("onnx", "torch"), ["deployed/net.onnx", "deployed/net.pt2"]),
        ("deployed-v1.0", (), ["deployed-v1.0/net.onnx"]),
        ("2026.11.26", ("torch",), ["2026.11.26/net.pt2"]),
        ("release.candidate", (), ["release.candidate/net.onnx"]),
        ("new.onnx/", (), ["new.onnx/net.onnx"]),
        ("is.onnx", (), ["is.onnx/net.onnx"]),
    ],
)
def test_places_of_exports(out, formats, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "is.onnx").mkdir()
    assert [str(path) for path in _places(out, formats, "net")] == files
    assert [path.name for path in tmp_path.iterdir()] == ["is.onnx"], "nothing is made before it is needed"


@pytest.mark.parametrize(
    ("out", "formats", "saying"),
    [
        ("", (), "`out` is empty"),
        (" ", (), "`out` is empty"),
        ("x.pt", (), "no export format for 'x.pt'; known endings"),
        ("x.onnx", ("torch",), "give a folder to write torch"),
        ("notes.txt", (), "notes.txt is a file, and ends in none of"),
        ("notes.txt/x.onnx", (), "notes.txt is no folder"),
        ("notes.txt/deep/folder", (), "notes.txt is no folder"),
    ],
)
def test_places_that_cannot_be(out, formats, saying, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UnskipError, match=saying):
        _places(out, formats, "net")


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"image_shape": "[3,8,8]", "preprocessing": None}, "takes images of"),
        ({"image_shape": "[3,-8,8]"}, "image_shape in its header is .*expected channels, height and width"),
        ({"image_shape": "{}"}, "image_shape in its header is {}"),
        ({"preprocessing": "[]"}, "preprocessing in its header is damaged"),
        ({"std": "[0.0, 1.0, 1.0]"}, "std in its header is"),
        ({"mean": "[NaN, 1.0, 1.0]"}, "mean in its header is"),
        ({"normalization": "elsewhere"}, "normalization is 'elsewhere', not inside or outside"),
        (dict.fromkeys(("image_shape", "classes", "mean", "std", "preprocessing")), "only files that unskip wrote"),
    ],
)
def test_damaged_metadata(run, changes, saying, tmp_path):
    folder, _ = run
    model = onnx.load(folder / "export" / "ce.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props} | changes
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {name: value for name, value in facts.items() if value is not None})
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(UnskipError, match=saying):
        evaluate_target(tmp_path / "x.onnx", str(folder.parents[1] / "data"), ())
