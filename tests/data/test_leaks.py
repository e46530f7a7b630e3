import numpy as np
import pytest

from unskip.data.leaks import warn_of_shared_images
from unskip.data.load import load_data
from unskip.recipe import DataRecipe

from .small_sets import encoded, picture, write_class_folders, write_parquet


def test_shared_images_are_counted():
    train, test = [b"a", b"b", b"c"], [b"c", b"d", b"a"]
    with pytest.warns(UserWarning, match=r"2 of 3 test images are training images too, .*, 1 of them under another"):
        warn_of_shared_images(train, np.array([0, 1, 1]), test, np.array([1, 0, 1]))


@pytest.mark.parametrize("image_size", [12, 72], ids=["resident", "streamed"])
def test_parquet_files_that_share_an_image(tmp_path, image_size):
    for split, seeds in {"train": (0, 1, 2, 3), "test": (4, 2)}.items():
        images = [encoded(picture(seed)) for seed in seeds]
        write_parquet(tmp_path / f"{split}.parquet", [0, 1] * (len(seeds) // 2), images=images)
    with pytest.warns(UserWarning, match="1 of 2 test images are training images too, bit by bit, 1 of them under"):
        load_data(DataRecipe(name="parquet", path=str(tmp_path), image_size=image_size))


def test_folders_that_share_none_say_nothing(tmp_path, recwarn):
    write_class_folders(tmp_path / "train", {"a": 2, "b": 2})
    write_class_folders(tmp_path / "test", {"a": 2, "b": 2}, seed=1)
    load_data(DataRecipe(name="image_folder", path=str(tmp_path)))
    assert not list(recwarn)
