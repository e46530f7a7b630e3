"""Folders as they come, drawn at random: every image once, under its class and split, or a refusal."""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unskip.data.folders import image_folder
from unskip.data.splits import look_like_splits, split_named
from unskip.errors import UnskipError

TRAIN = st.sampled_from(["train", "Train", "TRAINING", "train_set", None])
TEST = st.sampled_from(["test", "Testing", "VAL", "valid", "validation", "dev", None])
FILES = st.sampled_from(
    ["{}.png", "{}.jpg", "{}.JFIF", "{}", "{}.5", "deep/er/{}.png", ".hidden/{}.png", ".{}.png", "{}.bmp"]
)
JUNK = st.sampled_from(["notes.txt", "Thumbs.db", "x.png/", "pipe.png", "broken.png", "up", "self", "sibling"])


def write_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jpg": "JPEG", ".jfif": "JPEG", ".bmp": "BMP"}.get(path.suffix.lower(), "PNG")
    Image.new("L", (8, 8), value).save(path, kind)


def write_junk(folder: Path, name: str, classes: list[str]) -> None:
    path = folder / name
    links = {"up": "../..", "self": ".", "broken.png": "nowhere.png", "sibling": f"../{classes[0]}"}
    if name.endswith("/"):
        path.mkdir()
    elif name.startswith("pipe"):
        os.mkfifo(path)
    elif name in links:
        path.symlink_to(links[name])
    else:
        path.write_text("no image")


@settings(max_examples=80)
@given(st.data())
def test_every_image_once_with_its_label_and_split(data):
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder).resolve(), data)


def check(root: Path, data: st.DataObject) -> None:
    splits = {"train": data.draw(TRAIN), "test": data.draw(TEST)}
    names = data.draw(
        st.lists(st.sampled_from(["a", "b", "Cat", "dog ", "ä", "1"]), min_size=2, max_size=4, unique=True)
    )
    expected: dict[str, dict[int, str]] = {"train": {}, "test": {}}
    value = 0
    leaks = False
    for split, spelled in splits.items():
        if spelled is None and (split == "test" or splits["test"] is not None):
            continue
        for name in names:
            inside = root / (spelled or "") / name
            for pattern in data.draw(st.lists(FILES, min_size=1, max_size=3)):
                value += 1
                write_image(inside / pattern.format(value), value)
                if not any(part.startswith(".") for part in pattern.split("/")):
                    expected[split][value] = name
            for junk in data.draw(st.lists(JUNK, max_size=2, unique=True)):
                write_junk(inside, junk, names)
                leaks |= junk == "sibling" and name != names[0]
    refused = read_or_refused(root)
    if refused:
        empty = any(set(expected[split].values()) != set(names) for split in splits if expected[split])
        no_train = splits["train"] is None and splits["test"] is not None
        assert leaks or empty or no_train or not expected["train"], refused
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes, *found = image_folder(root)
        assert str(image_folder(root)) == str((classes, *found)), "the same folder is listed in another way"
    for split, images in zip(("train", "test"), found, strict=True):
        seen = {}
        for index in range(len(images) if images else 0):
            grey = round(float(np.asarray(images.image(index)).mean()))
            assert grey not in seen, "an image is taken twice"
            seen[grey] = classes[images.labels[index]]
        assert seen == expected[split]


TOPS = ["train", "Test", "val", "seg_train", "seg_test", "bus", "x", ".git"]
PLACES = ["1.png", "a/1.png", "b/1.png", "train/1.png", "test/1.png", "a.txt"]


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(TOPS), st.sets(st.sampled_from(PLACES)), min_size=1))
def test_any_tree_is_read_or_refused(tree):
    with tempfile.TemporaryDirectory() as folder:
        for top, places in tree.items():
            for path in (Path(folder, top, place) for place in places):
                if path.suffix == ".png":
                    write_image(path, 9)
        said = read_or_refused(Path(folder))
        with_classes = any(split_named(top) and any("/" in place for place in places) for top, places in tree.items())
        assert said is None or folder in said
        assert said or not with_classes or (Path(folder) / "train").is_dir(), "a split was taken for a class"


def read_or_refused(root: Path) -> str | None:
    """What is said where the folder is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            classes, train, _ = image_folder(root)
    except UnskipError as error:
        return str(error)
    if train.folder == root:  # seg_train alone may be a class, and is refused later for being the only one
        assert not set(classes) <= {"train", "Test", "val"}
        assert not look_like_splits(classes)
    return None
