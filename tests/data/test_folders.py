import os
import warnings
from pathlib import Path

import pytest

from unskip.data.folders import image_folder
from unskip.errors import UnskipError

from .small_sets import picture, write_class_folders


def written(root: Path, **splits: dict[str, int]) -> Path:
    """Class folders of every split, all images different."""
    for seed, (split, counts) in enumerate(splits.items()):
        write_class_folders(root / split, counts, seed=seed)
    return root


def listed(root: Path) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Classes, and training and test images as CLASS: FILE."""
    classes, train, test = image_folder(root)
    pairs = [
        [f"{classes[label]}: {file}" for label, file in zip(s.labels, s.files, strict=True)] for s in (train, test) if s
    ]
    return classes, pairs[0], pairs[1] if test else []


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("train", name) for name in ("test", "testing", "val", "valid", "validation", "dev", "eval", "TEST", "Val")),
        *(
            ("Training", "Testing"),
            ("TRAIN", "VAL"),
            ("train", "Test"),
            ("Train", "test"),
            ("training_set", "test_set"),
        ),
    ],
)
def test_splits_in_their_usual_spellings(tmp_path, train, test):
    written(tmp_path, **{train: {"b": 2, "a": 3}, test: {"a": 1, "b": 1}})
    classes, trained, tested = image_folder(tmp_path)
    assert classes == ("a", "b")
    assert trained.labels.tolist() == [0, 0, 0, 1, 1]
    assert [trained.files[0], trained.files[-1]] == ["a/0.png", "b/1.png"]
    assert tested.where(1) == str(tmp_path / test / "b" / "0.png")


def test_test_images_come_from_test_and_the_validation_images_are_counted(tmp_path):
    written(tmp_path, train={"a": 2, "b": 2}, val={"a": 3, "b": 1}, Test={"a": 1, "b": 1})
    with pytest.warns(UserWarning, match=r"tests use Test; passed over: val \(4 image\(s\)\)"):
        assert listed(tmp_path)[2] == ["a: a/0.png", "b: b/0.png"]


def test_a_test_split_without_class_folders_gives_way_to_validation_images(tmp_path):
    written(tmp_path, train={"a": 2, "b": 2}, valid={"a": 1, "b": 1}, test={"": 0})
    picture(9).save(tmp_path / "test" / "1.png")
    with pytest.warns(UserWarning, match=r"tests use valid; passed over: test \(1 image\(s\)\)"):
        assert len(listed(tmp_path)[2]) == 2


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (("valid", "test"), "has test, valid, but no training images"),
        (("test",), "has test, but no training images"),
        (("test", "extra"), "has test beside extra, but no training images"),
        (("train", "Training", "test"), "more than one folder of train images: Training, train"),
        (("train", "val", "valid"), "more than one folder of validation images: val, valid"),
        (("train", "bus"), r"mixes splits \(train\) and other folders of images \(bus\)"),
        (("train", "test", "a"), r"mixes splits \(test, train\) and other folders of images \(a\)"),
        (("seg_train", "seg_test"), "seg_test, seg_train look like splits"),
        (("train2017", "val2017"), "train2017, val2017 look like splits"),
        (("dataset",), r"has only one folder, dataset, and it holds a, b; set data.path to .*dataset if the classes"),
    ],
)
def test_splits_that_are_unclear_are_refused_and_named(tmp_path, splits, message):
    written(tmp_path, **{name: {"a": 2, "b": 2} for name in splits})
    with pytest.raises(UnskipError, match=message):
        image_folder(tmp_path)


def test_splits_within_the_classes_are_refused(tmp_path):
    for name in ("a", "b"):
        written(tmp_path / name, train={"": 0}, test={"": 0})
        for split in ("train", "test"):
            picture(0).save(tmp_path / name / split / "0.png")
    with pytest.raises(UnskipError, match=r"holds splits \(test, train\) instead of images"):
        image_folder(tmp_path)


def test_splits_that_hold_images_and_no_classes_are_refused(tmp_path):
    write_class_folders(tmp_path, {"train": 2, "test": 2})
    with pytest.raises(UnskipError, match="lie in no class folders: expected train/CLASS/IMAGE"):
        image_folder(tmp_path)


def test_another_folder_beside_both_splits_is_counted(tmp_path):
    written(tmp_path, train={"a": 2, "b": 2}, test={"a": 1, "b": 1}, unlabelled={"": 0})
    picture(9).save(tmp_path / "unlabelled" / "0.png")
    with pytest.warns(UserWarning, match=r"tests use test; passed over: unlabelled \(1 image\(s\)\)"):
        assert listed(tmp_path)[0] == ("a", "b")


def test_class_folders_without_splits(tmp_path):
    classes, images, tested = image_folder(write_class_folders(tmp_path / "set", {"x": 2, "y": 1}))
    assert (classes, images.labels.tolist(), tested) == (("x", "y"), [0, 0, 1], None)


@pytest.mark.parametrize(
    "names", [("bus", "train"), ("exam", "test"), ("bullet train", "car", "crash test"), ("dev", "ops")]
)
def test_classes_may_be_called_like_splits(tmp_path, names):
    write_class_folders(tmp_path, dict.fromkeys(names, 2))
    assert image_folder(tmp_path)[0] == names


def test_class_names_of_splits_may_differ_in_case_spaces_and_unicode_form(tmp_path):
    written(tmp_path, train={"Cat": 1, "caf\u00e9": 1, "dog ": 1}, test={"cat": 1, "cafe\u0301": 1, "dog": 1})
    classes, train, test = listed(tmp_path)
    assert classes == ("Cat", "caf\u00e9", "dog ")
    assert test == ["Cat: cat/0.png", "caf\u00e9: cafe\u0301/0.png", "dog : dog/0.png"]
    assert len(train) == 3


def test_classes_may_differ_in_case_alone(tmp_path):
    written(tmp_path, train={"A": 1, "a": 1}, test={"A": 1, "a": 1})
    assert listed(tmp_path)[2] == ["A: A/0.png", "a: a/0.png"]


@pytest.mark.parametrize("names", [("cat", "cat "), ("caf\u00e9", "cafe\u0301")])
def test_classes_that_look_the_same_are_refused(tmp_path, names):
    write_class_folders(tmp_path, dict.fromkeys(names, 1))
    with pytest.raises(UnskipError, match="two class folders whose names look the same"):
        image_folder(tmp_path)


def test_a_class_without_test_images_is_named(tmp_path):
    written(tmp_path, train={"a": 1, "b": 1, "c": 1}, test={"a": 1, "c": 1})
    with pytest.warns(UserWarning, match="has no images of 1 of 3 classes: b"):
        assert listed(tmp_path)[2] == ["a: a/0.png", "c: c/0.png"]


def test_train_and_test_must_have_the_same_classes(tmp_path):
    written(tmp_path, train={"a": 1, "b": 1}, test={"a": 1, "c": 1})
    with pytest.raises(UnskipError, match=r"only in .*train: b; only in .*test: c"):
        image_folder(tmp_path)


def test_nested_files_are_found_and_hidden_ones_are_not(tmp_path, recwarn):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "more" / "still").mkdir(parents=True)
    picture(9).save(tmp_path / "a" / "more" / "still" / "DEEP.JPG")
    (tmp_path / "a" / "._0.png").write_bytes(b"what other systems leave behind")
    for hidden in (".ipynb_checkpoints", "__MACOSX", "a/.ipynb_checkpoints", "a/__MACOSX"):
        write_class_folders(tmp_path / hidden, {"c": 1})
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"small pictures")
    assert listed(tmp_path) == (("a", "b"), ["a: a/0.png", "a: a/more/still/DEEP.JPG", "b: b/0.png"], [])
    assert not list(recwarn)


def test_images_are_known_by_their_ending_or_by_how_they_begin(tmp_path):
    write_class_folders(tmp_path, {"a": 0, "b": 1})
    for name, kind in {
        "1.jfif": "JPEG",
        "2.JPE": "JPEG",
        "3": "PNG",
        "4.5": "GIF",
        "5.avif": "AVIF",
        "6.dat": "BMP",
    }.items():
        picture(0).save(tmp_path / "a" / name, kind)
    assert [file for file in listed(tmp_path)[1] if file.startswith("a")] == [
        f"a: a/{name}" for name in ("1.jfif", "2.JPE", "3", "4.5", "5.avif", "6.dat")
    ]


def test_what_is_no_image_is_counted_and_named(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    for name in ("a/notes.txt", "a/drawing.svg", "b/more", "b/empty"):
        (tmp_path / name).write_text("no image" if name != "b/empty" else "")
    os.symlink("gone.png", tmp_path / "b" / "z.png")
    with pytest.warns(
        UserWarning, match=r": 5 file\(s\) passed over, being no images: a/drawing.svg, a/notes.txt, b/empty, \.\.\."
    ):
        assert len(listed(tmp_path)[1]) == 2


def test_pipes_are_not_opened_whatever_they_are_called(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    for name in ("a/pipe.png", "b/pipe"):
        os.mkfifo(tmp_path / name)
    with pytest.warns(UserWarning, match=r"2 file\(s\) passed over, being no images: a/pipe.png, b/pipe"):
        assert len(listed(tmp_path)[1]) == 2


def test_images_outside_of_the_class_folders_are_counted(tmp_path):
    written(tmp_path, train={"a": 1, "b": 1}, test={"a": 1, "b": 1})
    for name in ("1.png", "train/2.png", "test/3.png"):
        picture(0).save(tmp_path / name)
    (tmp_path / "README.md").write_text("says what this is")
    with pytest.warns(
        UserWarning, match=r"3 image\(s\) passed over, lying in no class folder: 1.png, train/2.png, test/3.png"
    ):
        assert len(listed(tmp_path)[1]) == 2


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_links_that_lead_back_are_not_followed(tmp_path, target):
    write_class_folders(tmp_path / "set", {"a": 2, "b": 2})
    os.symlink(target, tmp_path / "set" / "a" / "link")
    expected = ["a: a/0.png", "a: a/1.png", "b: b/0.png", "b: b/1.png"]
    with pytest.warns(UserWarning, match=r"1 file\(s\) passed over, being no images: a/link \(leads back\)"):
        assert listed(tmp_path / "set")[1] == expected


def test_a_link_among_the_classes_that_leads_back_is_no_class(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    os.symlink(".", tmp_path / "loop")
    assert listed(tmp_path)[0] == ("a", "b")


@pytest.mark.parametrize("place", ["loop", "a/loop", "a/loop.png"])
def test_a_link_to_itself_is_no_image(tmp_path, place):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    os.symlink(Path(place).name, tmp_path / place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert listed(tmp_path)[1] == ["a: a/0.png", "b: b/0.png"]


def test_the_folder_may_be_reached_by_a_link(tmp_path):
    write_class_folders(tmp_path / "set", {"a": 1, "b": 1})
    os.symlink("set", tmp_path / "link")
    assert listed(tmp_path / "link")[1] == ["a: a/0.png", "b: b/0.png"]


def test_links_that_lead_in_circles_outside_end(tmp_path):
    write_class_folders(tmp_path / "set", {"a": 1, "b": 1})
    for number in range(6):
        write_class_folders(tmp_path / "far", {str(number): 1}, seed=number)
    for number in range(6):
        for other in range(6):
            os.symlink(f"../{other}", tmp_path / "far" / str(number) / f"to{other}")
    os.symlink("../../far/0", tmp_path / "set" / "a" / "far")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(listed(tmp_path / "set")[1]) == 2 + 6


def test_class_folders_and_images_may_be_links(tmp_path):
    write_class_folders(tmp_path / "store", {"x": 2, "y": 1})
    picture(7).save(tmp_path / "one.png")
    (tmp_path / "set").mkdir()
    for link, target in {"a": "../store/x", "b": "../store/y"}.items():
        os.symlink(target, tmp_path / "set" / link)
    os.symlink("../../one.png", tmp_path / "store" / "y" / "linked.png")
    assert listed(tmp_path / "set")[1] == ["a: a/0.png", "a: a/1.png", "b: b/0.png", "b: b/linked.png"]


def test_an_image_is_taken_once_within_its_class(tmp_path):
    write_class_folders(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "a" / "inner").mkdir()
    picture(5).save(tmp_path / "a" / "inner" / "5.png")
    for link, target in {"A.png": "1.png", "again": "inner", "B.png": "inner/5.png", "C.png": "B.png"}.items():
        os.symlink(target, tmp_path / "a" / link)
    assert listed(tmp_path)[1] == ["a: a/0.png", "a: a/1.png", "a: a/inner/5.png", "b: b/0.png"]


@pytest.mark.parametrize("link", ["a/link", "c", "a/link.png"])
def test_an_image_of_two_classes_is_refused(tmp_path, link):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    os.symlink({"a/link": "../b", "c": "b", "a/link.png": "../b/0.png"}[link], tmp_path / link)
    with pytest.raises(UnskipError, match=r"is an image that .* holds too, by a link"):
        image_folder(tmp_path)


def test_an_image_of_both_splits_is_refused(tmp_path):
    written(tmp_path, train={"a": 1, "b": 1})
    os.symlink("train", tmp_path / "test")
    with pytest.raises(UnskipError, match=r"test/a/0.png is an image that .*train/a holds too"):
        image_folder(tmp_path)


def test_a_split_may_be_linked_under_a_second_spelling(tmp_path):
    written(tmp_path, train={"a": 1, "b": 1})
    os.symlink("train", tmp_path / "Train")
    assert len(listed(tmp_path)[1]) == 2


def test_no_class_folders(tmp_path):
    picture(0).save(tmp_path / "loose.png")
    with pytest.raises(UnskipError, match=r"has no class folders: .*its images lie directly in it \(loose.png\)"):
        image_folder(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path):
    write_class_folders(tmp_path, {"a": 2, "b": 0})
    with pytest.raises(UnskipError, match=r"class folder .*b holds no images"):
        image_folder(tmp_path)


def test_a_class_name_that_is_not_text_is_refused(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "b").rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(UnskipError, match=r"caf\\udce9 is not valid UTF-8; rename it"):
        image_folder(tmp_path)


def test_file_names_may_be_any_bytes(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    picture(0).save(tmp_path / "a" / os.fsdecode(b"\xff.png"))
    _, images, _ = image_folder(tmp_path)
    assert images.where(1).endswith(r"a/\udcff.png")
    assert images.stamp(1).encode().startswith(rb"a/\udcff.png ")
    assert images.image(1).size == (12, 12)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    write_class_folders(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a").chmod(0)
    with pytest.raises(UnskipError, match=r"cannot read the folder .*a: Permission denied"):
        image_folder(tmp_path)
