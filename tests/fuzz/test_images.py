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
from .values import damaged


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
def files(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Paths below a folder and their contents: pictures in class folders, now and then something else."""
    size = (8, 8) if draw(st.booleans()) else None
    mode = draw(MODES)
    found = []
    for number in range(draw(st.integers(0, 14))):
        ending = draw(ENDINGS)
        kind = draw(st.sampled_from(["right"] * 7 + ["damaged", "other", "mode"]))
        each = encoded(draw(MODES) if kind == "mode" else mode, size or (draw(SIDES), draw(SIDES)), ending, number)
        if kind == "damaged":
            each = draw(damaged(each))
        elif kind == "other":
            each = draw(OTHER)
        parents = draw(st.sampled_from([[], ["train"], ["test"], ["train"], []]))
        name = draw(st.sampled_from([f"{number}.{ending}", f"{number}.{ending.upper()}", f"{number}", f"{number}.txt"]))
        found.append(("/".join([*parents, draw(CLASSES) if number % 3 else "ab"[number % 2], name]), each))
    return found


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


@fuzz(40, 500, contents=files(), fields=SETTINGS, link=st.sampled_from([None, None, "..", ".", "nowhere", "a"]))
def test_folders(world, contents, fields, link):
    home = world.folder / "images"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for place, content in contents:
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_bytes(content)
    if link:
        os.symlink(link, home / "link", target_is_directory=True)
    read(world, name="image_folder", path=str(home), **fields)
    if len(contents) < 3:
        world.refused("evaluate", "nowhere.safetensors", "--data", home)


PICTURES = st.builds(encoded, st.just("RGB"), st.just((8, 8)), st.just("png"), st.integers(0, 9))
IMAGES = st.one_of(
    st.lists(PICTURES.map(lambda data: {"bytes": data, "path": None}), min_size=4, max_size=12),
    st.lists(st.none() | PICTURES.map(lambda data: {"bytes": data, "path": "x.png"}), min_size=2, max_size=8),
    st.lists(
        st.sampled_from([{"bytes": b"no image", "path": None}, {"bytes": None, "path": "nowhere.png"}]), max_size=8
    ),
    st.lists(PICTURES, min_size=4, max_size=9),
    st.lists(st.text(max_size=5), max_size=5),
    st.lists(st.floats(), max_size=5),
)
LABELS = st.sampled_from(["int", "text", "bool", "float", "negative", "null", "large", "list", "one"])
COLUMNS = st.sampled_from([("image", "label"), ("img", "fine_label"), ("image", "image2"), ("a", "b"), ("", "label")])


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


PLACES = st.sampled_from(["{}.parquet", "data/{}-00000-of-00001.parquet", "default/{}/0000.parquet", "{}/x.parquet"])


@fuzz(
    40,
    500,
    train=IMAGES,
    test=IMAGES,
    kinds=st.tuples(LABELS, LABELS),
    columns=COLUMNS,
    place=PLACES,
    data=st.data(),
    fields=SETTINGS,
)
def test_parquet(world, train, test, kinds, columns, place, data, fields):
    home = world.folder / "parquet"
    shutil.rmtree(home, ignore_errors=True)
    for split, images, kind in (("train", train, kinds[0]), ("test", test, kinds[1])):
        path = home / place.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table([pa.array(images), pa.array(labels(kind, len(images)))], names=list(columns))
        pq.write_table(table, path)
        if data.draw(st.integers(0, 4)) == 0:
            path.write_bytes(data.draw(damaged(path.read_bytes())))
    read(world, name="parquet", path=str(home), **fields)
