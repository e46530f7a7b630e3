import subprocess
import sys

import numpy as np
import pytest
import torch

from unskip.data import Data, Normalization, load_data
from unskip.errors import UnskipError
from unskip.recipe import DataRecipe

from .small_sets import picture, write_class_folders, write_parquet


@pytest.fixture
def folder(tmp_path):
    write_class_folders(tmp_path / "train", {"a": 6, "b": 6, "c": 6})
    write_class_folders(tmp_path / "test", {"a": 2, "b": 3, "c": 4}, seed=1)
    return tmp_path


def loaded(path, **settings) -> Data:
    return load_data(DataRecipe(name="image_folder", path=str(path), workers=0, **settings))


def test_small_images_keep_their_size(folder):
    data = loaded(folder)
    assert (data.num_train, data.num_test, data.classes) == (18, 9, ("a", "b", "c"))
    assert data.image_shape == (3, 12, 12)
    images, labels = next(data.train_batches(6, seed=0).epoch(0))
    assert (images.shape, images.dtype, labels.dtype) == ((6, 3, 12, 12), torch.float32, torch.int64)


def test_training_images_have_mean_zero_and_variance_one(folder):
    data = loaded(folder, augmentation="none")
    images, _ = next(data.train_batches(18, seed=0).epoch(0))
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(images.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)


def test_images_that_are_large_or_differ_are_streamed_at_224(folder):
    picture(0, (12, 13)).save(folder / "train" / "b" / "0.png")
    data = loaded(folder)
    assert data.image_shape == (3, 224, 224)
    assert data.mean == (0.485, 0.456, 0.406)
    assert next(data.train_batches(2, seed=0).epoch(0))[0].shape == (2, 3, 224, 224)
    assert data.test_images(2).shape == (2, 3, 224, 224)


def test_an_image_size_resizes_smaller_images(folder):
    assert loaded(folder, image_size=20).test_images(1).shape == (1, 3, 20, 20)


@pytest.mark.parametrize("settings", [{}, {"augmentation": "resized_crop"}, {"image_size": 72}])
def test_batches_are_the_same_in_either_memory_format(folder, settings):
    data = loaded(folder, **settings)
    plain, last = (next(data.train_batches(4, 1, channels_last=flag).epoch(0))[0] for flag in (False, True))
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_a_folder_is_called_what_its_user_calls_it(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "dogs"
    link.symlink_to(folder)
    assert loaded(link).name == "dogs"


def test_subsets_are_balanced(folder):
    data = loaded(folder, limit=8, test_limit=5)
    labels = torch.cat([labels for _, labels in data.train_batches(4, 0).epoch(0)])
    assert sorted(labels.bincount().tolist()) == [2, 3, 3]
    labels = torch.cat([labels for _, labels in data.test_batches(4).epoch(0)])
    assert sorted(labels.bincount().tolist()) == [1, 2, 2]
    assert loaded(folder, fraction=0.5).num_train == 9


@pytest.mark.parametrize(("image_size", "size"), [(12, 5), (1000, 3), (1800, 1)])
def test_large_images_are_tested_few_at_a_time(folder, image_size, size):
    batch, labels = next(loaded(folder, image_size=image_size, test_limit=5).test_batches().epoch(0))
    assert len(batch) == len(labels) == size


@pytest.mark.parametrize("image_size", [12, 72], ids=["resident", "streamed"])
def test_training_images_without_augmentation_are_drawn_with_a_seed(folder, image_size):
    data, plain = (loaded(folder, image_size=image_size, augmentation=kind) for kind in ("pad_crop", "none"))
    assert torch.equal(data.train_images(7, seed=1), plain.train_images(7, seed=1))
    assert not torch.equal(data.train_images(7, seed=1), data.train_images(7, seed=2))
    assert data.train_images(99, seed=1).shape[0] == 18


@pytest.mark.parametrize("image_size", [12, 72], ids=["resident", "streamed"])
def test_scaled_images_lie_between_0_and_1(folder, image_size):
    data = loaded(folder, image_size=image_size)
    scaled = data.scaled()
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    for images, normalised in (
        (scaled.test_images(9), data.test_images(9)),
        (scaled.train_images(9, 0), data.train_images(9, 0)),
        (next(scaled.test_batches(9).epoch(0))[0], next(data.test_batches(9).epoch(0))[0]),
    ):
        assert 0 <= images.min() < images.max() <= 1
        assert torch.allclose((images - mean) / std, normalised, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 2}, "data.limit: 2 images cannot cover the 3 classes"),
        ({"padding": 12, "padding_mode": "reflect"}, "12 pixels cannot be reflected from images of 12"),
        ({"padding": 2, "augmentation": "none"}, "data.padding belongs to augmentation pad_crop"),
    ],
)
def test_settings_that_cannot_be_met(folder, settings, message):
    with pytest.raises(UnskipError, match=message):
        loaded(folder, **settings)


@pytest.mark.parametrize("image_size", [12, 72], ids=["resident", "streamed"])
def test_the_fingerprint_follows_the_content(folder, image_size):
    def fingerprint(**settings):
        return loaded(folder, image_size=image_size, **settings).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(flip=False) == first, "how images are augmented is not what they are"
    assert fingerprint(limit=9) != first
    picture(77, (11, 11)).save(folder / "test" / "a" / "0.png")
    changed = fingerprint()
    assert changed != first
    (folder / "train" / "a" / "0.png").rename(folder / "train" / "b" / "new.png")
    assert fingerprint() not in (first, changed)


def test_a_limit_above_what_there_is_takes_all(folder):
    everything, limited = loaded(folder), loaded(folder, limit=1000, test_limit=1000)
    assert (limited.num_train, limited.num_test) == (everything.num_train, everything.num_test)


@pytest.mark.parametrize("image_size", [12, 72], ids=["resident", "streamed"])
def test_the_fingerprint_follows_labels_and_class_names(tmp_path, image_size):
    def fingerprint(labels, names=("a", "b")):
        for split in ("train", "test"):
            path = tmp_path / f"{split}-00000-of-00001.parquet"
            write_parquet(path, labels, names=names, seed=10 * (split == "test"))
        return load_data(DataRecipe(name="parquet", path=str(tmp_path), image_size=image_size)).fingerprint

    assert len({fingerprint([0, 1, 1]), fingerprint([0, 1, 0]), fingerprint([0, 1, 1], ["a", "c"])}) == 3


def test_the_fingerprint_does_not_depend_on_the_place(folder, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "same"
    first = [loaded(folder, image_size=size).fingerprint for size in (12, 72)]
    folder.rename(moved)
    assert [loaded(moved, image_size=size).fingerprint for size in (12, 72)] == first


@pytest.mark.parametrize("image_size", [12, 72], ids=["resident", "streamed"])
def test_unreadable_images_can_be_skipped(folder, image_size):
    (folder / "train" / "a" / "3.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"left out 1 of 18 training images that cannot be read: .*3\.png"):
        data = loaded(folder, image_size=image_size, skip_unreadable=True)
    assert data.num_train == 17
    assert sum(len(labels) for _, labels in data.train_batches(17, 0).epoch(0)) == 17


def test_an_unreadable_image_stops_the_load(folder):
    (folder / "train" / "a" / "3.png").write_bytes(b"no image")
    with pytest.raises(UnskipError, match=r"train/a/3\.png"):
        loaded(folder)


def test_parity_images_are_balanced_test_images(folder):
    data = loaded(folder)
    images = data.test_images(6)
    assert torch.equal(images, data.test_images(6))
    every, labels = (torch.cat(part) for part in zip(*data.test_batches(4).epoch(0), strict=True))
    found = [int(labels[(every == image).flatten(1).all(1)][0]) for image in images]
    assert sorted(found) == [0, 0, 1, 1, 2, 2]
    assert len(data.test_images(1000)) == 9


def test_ranks_split_a_batch(folder):
    data = loaded(folder)
    shares = [next(data.train_batches(6, 0, rank=rank, world_size=2).epoch(0))[1] for rank in range(2)]
    assert torch.equal(torch.cat(shares), next(data.train_batches(6, 0).epoch(0))[1])
    with pytest.raises(UnskipError, match="cannot be split over 4 processes"):
        data.train_batches(6, 0, rank=0, world_size=4)


def test_digits_are_neither_mirrored_nor_coloured():
    data = load_data(DataRecipe(padding=0))
    assert data.image_shape == (1, 8, 8)
    assert data.classes == tuple("0123456789")
    plain, _ = next(load_data(DataRecipe(augmentation="none")).train_batches(64, 0).epoch(0))
    images, _ = next(data.train_batches(64, 0).epoch(0))
    assert torch.equal(plain, images)


def test_large_digits_are_streamed_in_grey():
    data = load_data(DataRecipe(image_size=72, workers=0, limit=20, test_limit=10))
    assert data.image_shape == (1, 72, 72)
    assert next(data.train_batches(4, 0).epoch(0))[0].shape == (4, 1, 72, 72)


def test_progress_is_told(folder):
    calls = []
    load_data(DataRecipe(name="image_folder", path=str(folder)), progress=lambda *call: calls.append(call))
    assert calls == [("training images", 18, 18), ("test images", 9, 9)]


def test_importing_the_package_does_not_import_torchvision():
    code = "import sys, unskip.data; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_small_images(real_data):
    data = load_data(DataRecipe(name="cifar10", path=str(real_data / "cifar10"), limit=500, test_limit=100))
    assert data.image_shape == (3, 32, 32)
    assert np.allclose(data.mean, (0.491, 0.482, 0.447), atol=0.03)
    assert next(data.train_batches(100, 0).epoch(0))[1].bincount(minlength=10).min() > 0


def test_real_large_images(real_data):
    recipe = DataRecipe(name="parquet", path=str(real_data / "imagewoof2-128"), limit=40, test_limit=20)
    data = load_data(recipe)
    assert (data.image_shape, len(data.classes)) == ((3, 224, 224), 10)
    whole = list(data.train_batches(16, 0).epoch(0))
    rest = list(data.train_batches(16, 0).epoch(0, 1))
    assert torch.equal(whole[1][0], rest[0][0])


NORMALIZED = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_who_does_not_train_gets_the_same_images(folder):
    recipe = DataRecipe(name="image_folder", path=str(folder), workers=0)
    told = []
    usual = load_data(recipe, normalization=NORMALIZED)
    later = load_data(
        recipe, normalization=NORMALIZED, to_train=False, progress=lambda what, done, of: told.append((what, done, of))
    )
    assert told == [("test images", 9, 9)]
    assert (later.num_train, later.num_test) == (18, 9)
    assert torch.equal(later.test_images(9), usual.test_images(9))
    assert told == [("test images", 9, 9)]
    assert torch.equal(later.train_images(4, seed=0), usual.train_images(4, seed=0))
    assert told == [("test images", 9, 9), ("training images", 18, 18)]
    batches = (next(data.train_batches(6, seed=0).epoch(0)) for data in (later, usual))
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))
    halves = (data.with_held_out(0.5) for data in (later, usual))
    assert len({half.fingerprint for half in halves}) == 1
    assert later.contents == usual.contents
    assert load_data(recipe, to_train=False).normalization == load_data(recipe).normalization
    assert told == [("test images", 9, 9), ("training images", 18, 18)]


def test_a_training_image_that_is_broken_matters_when_it_is_asked_for(folder):
    (folder / "train" / "b" / "0.png").write_bytes(b"no image")
    recipe = DataRecipe(name="image_folder", path=str(folder), workers=0, image_size=12)
    data = load_data(recipe, normalization=NORMALIZED, to_train=False)
    assert data.test_images(9).shape == (9, 3, 12, 12)
    with pytest.raises(UnskipError, match="cannot read the image"):
        data.train_images(1, seed=0)
    with pytest.warns(UserWarning, match="left out 1 of 18 training images"):
        left = load_data(recipe.model_copy(update={"skip_unreadable": True}), normalization=NORMALIZED, to_train=False)
    assert left.num_train == 17
