import numpy as np
import pytest
from sklearn.datasets import load_digits

from unskip.data import recipe_for
from unskip.data.sources import read_source
from unskip.errors import UnskipError
from unskip.recipe import DataRecipe

from .small_sets import write_class_folders, write_parquet


def test_digits_are_sklearns_spread_over_bytes():
    source = read_source(DataRecipe())
    digits = load_digits()
    train = source.train.take(np.arange(len(source.train.labels)))
    test = source.test.take(np.arange(len(source.test.labels)))
    assert len(train) + len(test) == 1797
    ours = sorted(np.asarray(images.image(i)).tobytes() for images in (train, test) for i in range(len(images)))
    assert ours == sorted(np.round(image * 255 / 16).astype(np.uint8).tobytes() for image in digits.images)


def test_the_test_split_is_balanced_and_decided_by_the_seed():
    first, again, other = (read_source(DataRecipe(seed=seed, test_fraction=0.1)) for seed in (1, 1, 2))
    sizes = np.bincount(load_digits().target)
    assert np.bincount(first.test.labels).tolist() == np.rint(0.1 * sizes).tolist()
    assert np.array_equal(first.test.rows, again.test.rows)
    assert not np.array_equal(first.test.rows, other.test.rows)
    assert not set(first.test.rows) & set(first.train.rows)


def test_the_first_classes_are_a_set_of_their_own(tmp_path):
    write_parquet(tmp_path / "pets" / "train-0.parquet", [2, 0, 1, 0], names=["cat", "dog", "eel"])
    write_parquet(tmp_path / "pets" / "test-0.parquet", [1, 2, 0], names=["cat", "dog", "eel"])
    recipe = DataRecipe(name="parquet", path=str(tmp_path / "pets"), classes=2)
    source = read_source(recipe)
    assert source.classes == ("cat", "dog")
    assert source.name == "pets, the first 2 classes", "it does not go by the whole set's name"
    assert (source.train.labels.tolist(), source.test.labels.tolist()) == ([0, 1, 0], [1, 0])
    assert np.asarray(source.train.take(np.array([1])).image(0)).tolist() == (
        np.asarray(read_source(recipe.model_copy(update={"classes": None})).train.take(np.array([2])).image(0)).tolist()
    )
    with pytest.raises(UnskipError, match=r"data.classes: 4, but .* has 3"):
        read_source(recipe.model_copy(update={"classes": 4}))


def test_the_first_classes_of_what_has_no_test_split():
    source = read_source(DataRecipe(classes=3))
    assert set(source.train.labels) == set(source.test.labels) == {0, 1, 2}


def test_names_and_folders_are_recognised(tmp_path):
    assert recipe_for("digits") == DataRecipe(name="digits")
    assert recipe_for("cifar100") == DataRecipe(name="cifar100")
    folders = write_class_folders(tmp_path / "pets", {"cat": 1, "dog": 1})
    assert recipe_for(str(folders)) == DataRecipe(name="image_folder", path=str(folders))
    write_class_folders(tmp_path / "split" / "train", {"cat": 1, "dog": 1})
    assert recipe_for(str(tmp_path / "split")).name == "image_folder"
    write_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", [0, 1])
    assert recipe_for(str(tmp_path / "hub")).name == "parquet"


def test_what_is_not_recognised(tmp_path):
    with pytest.raises(UnskipError, match="neither digits, cifar10 or cifar100, nor a folder"):
        recipe_for("imagenet")
    with pytest.raises(UnskipError, match=r"there are no images in this folder; looked for train-\*.parquet"):
        recipe_for(str(tmp_path))


@pytest.mark.parametrize("name", ["image_folder", "parquet"])
def test_paths_that_cannot_be(tmp_path, name):
    with pytest.raises(UnskipError, match=r"needs data\.path"):
        read_source(DataRecipe(name=name))
    with pytest.raises(UnskipError, match=r"gone does not exist"):
        read_source(DataRecipe(name=name, path=str(tmp_path / "gone")))
    (tmp_path / "file").touch()
    with pytest.raises(UnskipError, match=r"file is a file; give the folder"):
        read_source(DataRecipe(name=name, path=str(tmp_path / "file")))


def test_one_class_is_too_few(tmp_path):
    write_class_folders(tmp_path, {"cat": 3})
    with pytest.raises(UnskipError, match="has only one class, 'cat'"):
        read_source(DataRecipe(name="image_folder", path=str(tmp_path)))


def test_a_class_too_small_to_split(tmp_path):
    write_class_folders(tmp_path, {"cat": 3, "dog": 1})
    with pytest.raises(UnskipError, match=r"class 'dog' has 1 image\(s\)"):
        read_source(DataRecipe(name="image_folder", path=str(tmp_path)))


def test_a_class_without_training_images(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", [0, 1], names=["a", "b", "c"])
    with pytest.raises(UnskipError, match="class 'c' has no training images"):
        read_source(DataRecipe(name="parquet", path=str(tmp_path)))


def test_cifar10_from_the_hubs_files_must_have_ten_classes(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00001.parquet", [0, 1])
    with pytest.raises(UnskipError, match=r"has 2 classes, so it is not cifar10; set data\.name: parquet"):
        read_source(DataRecipe(name="cifar10", path=str(tmp_path)))


def test_a_source_is_called_after_its_folder(tmp_path):
    folder = write_class_folders(tmp_path / "pets", {"cat": 2, "dog": 2})
    assert read_source(DataRecipe(name="image_folder", path=str(folder))).name == "pets"
