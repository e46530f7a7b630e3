"""A run that goes on with other images or weights than it began with is stopped, and says what is another."""

import shutil

import pytest
from data.small_sets import picture, write_class_folders
from PIL import Image

from unskip import CE, DataRecipe, TrainingRecipe, UnskipError, distill, load_data, make_net, run_recipe
from unskip.recipe import recipe_from


def recipe(data, *settings):
    fields = {
        "data": {"name": "image_folder", "path": str(data), "workers": 0},
        "teacher": {"net": "resnet14", "options": {"width": 4}},
        "methods": {"ce": {}},
        "training": {"epochs": 1, "batch_size": 4},
        "measure": {"latency": False, "parity_images": 4, "runtime": "torch"},
    }
    return recipe_from(fields, list(settings))


@pytest.fixture(scope="module", params=["resident", "streamed"])
def interrupted(request, tmp_path_factory):
    """Images, settings, and a run that was stopped while it measured."""
    home, size = tmp_path_factory.mktemp("home"), (12, 12) if request.param == "resident" else (72, 72)
    for split in ("train", "test"):
        write_class_folders(home / "data" / split, {"a": 6, "b": 6}, size, seed=len(split))
    settings = ["data.image_size=72"] if request.param == "streamed" else []
    run_recipe(recipe(home / "data", *settings), home / "run")
    (home / "run" / "run.json").unlink()
    return home, settings


def _replace(path):
    with Image.open(path) as image:
        size = image.size
    picture(7, size).save(path)


CHANGES = {
    "replaced": (lambda data: _replace(data / "train/a/0.png"), "training images"),
    "deleted": (lambda data: (data / "train/a/0.png").unlink(), r"number of training images \(12 then, 11 now\)"),
    "added": (lambda data: shutil.copy(data / "train/a/0.png", data / "train/a/9.png"), r"\(12 then, 13 now\)"),
    "relabelled": (lambda data: (data / "train/a/0.png").rename(data / "train/b/9.png"), "training labels"),
    "another test image": (lambda data: shutil.copy(data / "test/a/1.png", data / "test/a/0.png"), "then: test images"),
    "a class renamed": (
        lambda data: [(data / split / "a").rename(data / split / "c") for split in ("train", "test")],
        r'classes \(\["a", "b"\] then, \["b", "c"\] now\)',
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_stop_it(interrupted, tmp_path, change):
    home, settings = interrupted
    shutil.copytree(home, tmp_path / "home")
    data, run = tmp_path / "home" / "data", tmp_path / "home" / "run"
    original = (run / "recipe.yaml").read_text().replace(str(home), str(tmp_path / "home"))
    (run / "recipe.yaml").write_text(original)
    make, words = CHANGES[change]
    make(data)
    before = {path: path.read_bytes() for path in (run / "nets").iterdir()}
    with pytest.raises(UnskipError, match=rf"began with other inputs.*{words}.*Bring back what was there"):
        run_recipe(recipe(data, *settings), run)
    assert {path: path.read_bytes() for path in (run / "nets").iterdir()} == before
    assert not (run / "run.json").exists()


def test_a_replaced_image_of_the_same_size_in_bytes_is_another(tmp_path):
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(3):
                picture(index, (72, 72)).save(tmp_path / split / name / f"{index}.bmp")

    def fingerprint():
        return load_data(DataRecipe(name="image_folder", path=str(tmp_path), image_size=72, workers=0)).fingerprint

    first, path = fingerprint(), tmp_path / "train" / "a" / "0.bmp"
    size = path.stat().st_size
    picture(9, (72, 72)).save(path)
    assert path.stat().st_size == size
    assert fingerprint() != first


def test_the_same_images_go_on(interrupted):
    home, settings = interrupted
    run_recipe(recipe(home / "data", *settings), home / "run")
    assert (home / "run" / "run.json").exists()


def test_another_weights_file_stops_it(interrupted, tmp_path):
    home, settings = interrupted
    weights = tmp_path / "teacher.safetensors"
    shutil.copy(home / "run" / "nets" / "teacher.safetensors", weights)
    asked = recipe(home / "data", f"teacher.initial_weights={weights}", *settings)
    run_recipe(asked, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    shutil.copy(tmp_path / "run" / "nets" / "teacher.safetensors", weights)
    with pytest.raises(UnskipError, match=r"changed since then: teacher.initial_weights"):
        run_recipe(asked, tmp_path / "run")


def test_a_checkpoint_knows_its_images(tmp_path):
    data = [load_data(DataRecipe(limit=100, seed=seed), device="cpu") for seed in (0, 0, 1)]
    scaled = data[0].scaled()

    def go_on(images):
        net = make_net("resnet14", {"width": 4, "num_classes": 10, "in_channels": 1})
        settings = TrainingRecipe(epochs=1, batch_size=50)
        return distill(None, images, CE(), student=net, training=settings, checkpoint=str(tmp_path / "a.ckpt")).history

    assert go_on(data[0]) == go_on(data[1])
    for other in (data[2], scaled):
        with pytest.raises(UnskipError, match="is of a training on other images"):
            go_on(other)
