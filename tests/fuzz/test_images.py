"""Folders of images and of Parquet files: damaged files, files of other kinds, names of all sorts."""

import io
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from unskip.data import load_data
from unskip.recipe import DataRecipe

from .harness import fuzz
from .values import Files, damaged


def encoded(mode: str, size: tuple[int, int], ending: str, seed: int = 0) -> bytes:
    """A small picture as a file's bytes; in another mode where the format has not this one."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    match mode:
        case "1":
            image = Image.fromarray(pixels[..., 0] > 99)
        case "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        case "I":
            image = Image.fromarray(pixels[..., 0].astype(np.int32) * 70_000)
        case "F":
            image = Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
        case _:
            image = Image.fromarray(pixels).convert(mode)
    format_ = {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
    buffer = io.BytesIO()
    try:
        image.save(buffer, format_)
    except (OSError, ValueError, KeyError):
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format_)
    return buffer.getvalue()


MODES = st.sampled_from(["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16", "I", "F"])
ENDINGS = st.sampled_from(["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
SIDES = st.sampled_from([1, 3, 7, 8, 12, 70])
CLASSES = st.sampled_from(["a", "b", "c d", ".hidden", "Ünï", "train", "test", "Val", "x'\"&<b>", "-n", "\n"])
OTHER = st.sampled_from(
    [
        b"",
        b"text",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff\xe0",
        b"RIFF....WEBP",
        b"II*\0",
        b"P6 9999999 9999999 255 ",
    ]
)


@st.composite
def folders(draw: st.DrawFn) -> Files:
    """Paths and contents of a right folder with some files or folders changed."""
    mode, ending = draw(MODES), draw(ENDINGS)
    size = draw(st.none() | st.tuples(SIDES, SIDES))
    splits = draw(st.sampled_from([["train/", "test/"], [""], ["Train/", "valid/"]]))
    files = Files()
    files |= {
        f"{split}{name}/{number}.{ending}": encoded(mode, size or (draw(SIDES), draw(SIDES)), ending, number)
        for split in splits
        for name in "ab"
        for number in range(4)
    }
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(sorted(files)))
        folder, _, name = path.rpartition("/")
        match draw(st.sampled_from(["damage", "other", "mode", "size", "gone", "class", "name", "beside"])):
            case "damage":
                files[path] = draw(damaged(files[path]))
            case "other":
                files[path] = draw(OTHER)
            case "mode":
                files[path] = encoded(draw(MODES), size or (8, 8), ending)
            case "size":
                files[path] = encoded(mode, (draw(SIDES), draw(SIDES)), ending)
            case "gone" if len(files) > 1:
                del files[path]
            case "class":
                parent = folder.rpartition("/")[0]
                files[f"{parent + '/' if parent else ''}{draw(CLASSES)}/{name}"] = files.pop(path)
            case "name":
                stem = name.partition(".")[0]
                new = draw(
                    st.sampled_from([name.upper(), stem, f"{stem}.txt", f".{name}", f"{stem}.png", f"{stem}.jfif"])
                )
                files[f"{folder}/{new}"] = files.pop(path)
            case "beside":
                files[draw(st.sampled_from(["x.png", "readme.txt", "train.parquet"]))] = files[path]
    return files


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "image_size": st.sampled_from([4, 8, 33]),
        "limit": st.integers(1, 20),
        "test_limit": st.integers(1, 5),
        "augmentation": st.sampled_from(["pad_crop", "resized_crop", "none"]),
        "padding": st.integers(0, 9),
        "padding_mode": st.sampled_from(["zeros", "reflect"]),
        "skip_unreadable": st.booleans(),
        "test_fraction": st.sampled_from([0.01, 0.5, 0.99]),
    },
)


def read(world, **fields) -> None:
    """Read all that there is, or one sentence."""
    with world.sentence():
        data = load_data(DataRecipe(workers=0, **fields), device="cpu", default_size=16)
        for batches in (data.train_batches(4, 0), data.test_batches(4)):
            for images, labels in batches.epoch(0):
                assert images.isfinite().all()
                assert images.shape[1:] == data.image_shape
                assert 0 <= labels.min() <= labels.max() < len(data.classes)


LINKS = st.sampled_from([None, None, None, "..", ".", "nowhere", "a"])


@fuzz(40, 500, contents=folders(), fields=SETTINGS, link=LINKS)
def test_folders(world, contents, fields, link):
    home = world.folder / "images"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for place, content in contents.items():
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_bytes(content)
    if link:
        os.symlink(link, home / "link", target_is_directory=True)
    read(world, name="image_folder", path=str(home), **fields)


LABELS = st.sampled_from(["int", "text", "bool", "float", "negative", "null", "large", "list", "one"])
PLACES = st.sampled_from(["{}.parquet", "data/{}-00000-of-00001.parquet", "default/{}/0000.parquet", "{}/x.parquet"])
COLUMNS = st.sampled_from([("image", "label"), ("img", "fine_label"), ("image", "image2"), ("a", "b"), ("", "label")])
CELLS = st.sampled_from(
    [None, {"bytes": b"no image", "path": None}, {"bytes": None, "path": "nowhere.png"}, {"bytes": b"", "path": ""}]
)


def labels(kind: str, count: int) -> list:
    """So many labels of a kind."""
    return [
        {
            "int": number % 2,
            "text": "ab"[number % 2],
            "bool": number % 2 == 0,
            "float": number / 2,
            "negative": -(number % 2),
            "null": None if number % 3 else 1,
            "large": number % 2 * 2**60,
            "list": [number],
            "one": 1,
        }[kind]
        for number in range(count)
    ]


@st.composite
def tables(draw: st.DrawFn) -> Files:
    """Right Parquet files of two splits with something changed."""
    change = draw(
        st.sampled_from(["nothing", "bytes", "cells", "labels", "columns", "binary", "empty", "gone", "order"])
    )
    where, place = draw(st.sampled_from(["train", "test"])), draw(PLACES)
    files = Files()
    for split in ("train", "test"):
        hit = change if split == where else "nothing"
        count = 0 if hit == "empty" else 8
        images = [{"bytes": encoded("RGB", (8, 8), "png", number), "path": None} for number in range(count)]
        if hit == "cells":
            images[draw(st.integers(0, 7))] = draw(CELLS)
        kind = draw(LABELS) if hit == "labels" else draw(st.sampled_from(["int", "int", "text"])) if count else "int"
        columns = list(draw(COLUMNS)) if hit == "columns" else ["image", "label"]
        cells = [image["bytes"] for image in images] if hit == "binary" else images
        data = [pa.array(cells), pa.array(labels(kind, count))]
        table = pa.table(data[::-1] if hit == "order" else data, names=columns[::-1] if hit == "order" else columns)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        content = buffer.getvalue()
        if hit != "gone":
            files[place.format(split)] = draw(damaged(content)) if hit == "bytes" else content
    return files


@fuzz(40, 500, contents=tables(), fields=SETTINGS)
def test_parquet(world, contents, fields):
    home = world.folder / "parquet"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for place, content in contents.items():
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_bytes(content)
    read(world, name="parquet", path=str(home), **fields)
