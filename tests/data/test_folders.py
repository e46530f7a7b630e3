import pytest

from unskip.data.folders import image_folder
from unskip.errors import UnskipError

from .small_sets import picture, write_class_folders


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_splits_and_their_classes(tmp_path, test):
    write_class_folders(tmp_path / "train", {"b": 2, "a": 3})
    write_class_folders(tmp_path / test, {"a": 1, "b": 1})
    classes, trained, tested = image_folder(tmp_path)
    assert classes == ("a", "b")
    assert trained.labels.tolist() == [0, 0, 0, 1, 1]
    assert [trained.files[0], trained.files[-1]] == ["a/0.png", "b/1.png"]
    assert tested.where(1) == str(tmp_path / test / "b" / "0.png")


def test_class_folders_without_splits(tmp_path):
    classes, images, tested = image_folder(write_class_folders(tmp_path / "set", {"x": 2, "y": 1}))
    assert (classes, images.labels.tolist(), tested) == (("x", "y"), [0, 0, 1], None)


def test_a_class_may_be_called_train(tmp_path):
    write_class_folders(tmp_path, {"train": 2, "bus": 2})
    assert image_folder(tmp_path)[0] == ("bus", "train")


def test_nested_files_are_found_and_hidden_ones_are_not(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "more" / "still").mkdir(parents=True)
    picture(9).save(tmp_path / "a" / "more" / "still" / "DEEP.JPG")
    (tmp_path / "a" / "._0.png").write_bytes(b"what other systems leave behind")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    classes, images, _ = image_folder(tmp_path)
    assert classes == ("a", "b")
    assert images.files == ["a/0.png", "a/more/still/DEEP.JPG", "b/0.png"]


def test_no_class_folders(tmp_path):
    picture(0).save(tmp_path / "loose.png")
    with pytest.raises(UnskipError, match="has no class folders: expected train/CLASS/IMAGE"):
        image_folder(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path):
    write_class_folders(tmp_path, {"a": 2, "b": 0})
    with pytest.raises(UnskipError, match=r"class folder .*b holds no images"):
        image_folder(tmp_path)


def test_train_and_test_must_have_the_same_classes(tmp_path):
    write_class_folders(tmp_path / "train", {"a": 1, "b": 1})
    write_class_folders(tmp_path / "test", {"a": 1, "c": 1})
    with pytest.raises(UnskipError, match=r"only in .*train: b; only in .*test: c"):
        image_folder(tmp_path)
