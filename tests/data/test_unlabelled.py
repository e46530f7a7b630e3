import pytest
import torch

from unskip.data import load_data, recipe_for
from unskip.data.unlabelled import unlabelled_folder
from unskip.errors import UnskipError
from unskip.recipe import DataRecipe

from .small_sets import picture, write_class_folders


def photographs(folder, count=8, size=(70, 90)):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture(index, size).save(folder / f"IMG_{index}.jpg")
    return folder


def test_eight_photographs_are_enough(tmp_path):
    recipe = recipe_for(str(photographs(tmp_path / "photos")))
    assert recipe == DataRecipe(name="images", path=str(tmp_path / "photos"))
    data = load_data(recipe.model_copy(update={"image_size": 64, "workers": 0}), device="cpu", labelled=False)
    assert (data.name, data.classes, data.image_shape) == ("photos", (), (3, 64, 64))
    assert (data.num_train, data.num_test) == (6, 2)
    images, labels = next(data.train_batches(64, 0).epoch(0))
    assert images.shape == (6, 3, 64, 64)
    assert labels.tolist() == [0] * 6
    assert data.test_images(9).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("size", [48, 96])  # on the device, and streamed
def test_the_seed_splits_and_augmentation_is_as_ever(tmp_path, size):
    photographs(tmp_path, 10)
    recipe = DataRecipe(name="images", path=str(tmp_path), image_size=size, workers=0, test_fraction=0.3)
    first, again, other = (
        load_data(recipe.model_copy(update={"seed": seed}), device="cpu", labelled=False) for seed in (1, 1, 2)
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    batches = [next(first.train_batches(7, seed).epoch(0))[0] for seed in (3, 3, 4)]
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])


def test_images_lie_any_number_of_folders_deep(tmp_path):
    for place in ("", "2020/May", "2021", "test"):
        photographs(tmp_path / place, 2)
    (tmp_path / "notes.txt").write_text("beach")
    with pytest.warns(UserWarning, match=r"1 file\(s\) passed over, being no images: notes.txt"):
        images, test = unlabelled_folder(tmp_path)
    assert (len(images), test) == (8, None)
    assert not images.labels.any()


def test_splits_are_kept_where_there_is_nothing_else(tmp_path):
    photographs(tmp_path / "train" / "monday", 3)
    photographs(tmp_path / "val", 2)
    train, test = unlabelled_folder(tmp_path)
    assert (len(train), len(test)) == (3, 2)
    photographs(tmp_path / "Test", 1)
    with pytest.warns(UserWarning, match="tests use Test; val is passed over"):
        train, test = unlabelled_folder(tmp_path)
    assert (len(train), len(test)) == (3, 1)
    photographs(tmp_path / "more", 1)
    assert len(unlabelled_folder(tmp_path)[0]) == 7


def test_class_folders_are_folders_like_any_where_nobody_needs_classes(tmp_path):
    write_class_folders(tmp_path, {"cat": 3, "dog": 1})  # too few to hold one of every class out
    recipe = recipe_for(str(tmp_path))
    assert recipe.name == "image_folder"
    data = load_data(recipe, device="cpu", labelled=False)
    assert (data.classes, data.num_train, data.num_test) == ((), 3, 1)
    digits = load_data(DataRecipe(limit=40), device="cpu", labelled=False)
    assert (digits.classes, digits.num_train) == ((), 40)


def test_a_classifier_is_told_of_the_task_without_labels(tmp_path):
    photographs(tmp_path)
    for name in ("images", "image_folder"):
        with pytest.raises(UnskipError, match=r"class.*`task: matching`"):
            load_data(DataRecipe(name=name, path=str(tmp_path)), device="cpu")


def test_too_few_images(tmp_path):
    with pytest.raises(UnskipError, match="has no images"):
        load_data(DataRecipe(name="images", path=str(tmp_path)), labelled=False)
    photographs(tmp_path, 1)
    with pytest.raises(UnskipError, match=r"1 image\(s\), but holding test images out needs two"):
        load_data(DataRecipe(name="images", path=str(tmp_path)), labelled=False)
