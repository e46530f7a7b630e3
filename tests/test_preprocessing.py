"""Images as tests and devices see them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import unskip
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.images import upright
from unskip.preprocessing import Preprocessing, prepare
from unskip.torchvision_compat import v2


def noise(height, width, mode="RGB", seed=0) -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def facts(how: Preprocessing, normalization="inside", mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.25)) -> dict[str, str]:
    channels = len(how.mode)
    info = DataInfo(("a", "b"), how.image_shape, tuple(mean[:channels]), tuple(std[:channels]), how)
    return {**info.to_json(), "normalization": normalization}


def test_without_cover_the_aspect_and_the_centre_are_kept():
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 255
    image = Image.fromarray(pixels)
    assert np.asarray(Preprocessing("L", (10, 10)).placed(image)).min() == 255
    assert Preprocessing("L", (20, 8)).placed(image).size == (8, 20)
    assert Preprocessing("L", (10, 30)).placed(image) is image


@pytest.mark.parametrize(("height", "width"), [(300, 200), (201, 333), (256, 256), (13, 400), (7, 5), (1, 1), (32, 40)])
def test_a_square_cover_is_torchvisions_resize_and_centre_crop(height, width):
    image = noise(height, width)
    for side in (32, 57):
        cover = round(side * 256 / 224)
        expected = v2.CenterCrop(side)(v2.Resize(cover)(image))
        found = Preprocessing("RGB", (side, side), (cover, cover)).placed(image)
        assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize(("height", "width"), [(300, 200), (200, 300), (61, 91), (9, 200), (64, 96)])
@pytest.mark.parametrize("cover", [None, (64, 96), (73, 110)])
def test_a_rectangle_is_filled_whatever_the_photograph(height, width, cover):
    how = Preprocessing("RGB", (64, 96), cover)
    assert how.pixels(noise(height, width)).shape == how.image_shape == (3, 64, 96)
    assert how.pixels(noise(height, width, "L").convert("RGB")).min() < 100


def test_what_is_prepared_inside_and_outside():
    how = Preprocessing("RGB", (8, 8), (9, 9))
    image = noise(21, 17)
    inside, outside = prepare(image, facts(how)), prepare(image, facts(how, "outside"))
    assert (inside.dtype, inside.shape, outside.dtype) == (np.float32, (1, 3, 8, 8), np.float32)
    assert np.array_equal(inside[0], how.pixels(image) * np.float32(1 / 255))
    mean, std = (np.array(values)[:, None, None] for values in ((0.1, 0.2, 0.3), (1.0, 0.5, 0.25)))
    assert np.allclose(outside[0], (inside[0] - mean) / std, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_files_are_turned_upright_and_brought_to_the_mode(mode, tmp_path):
    image = noise(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    how = Preprocessing(mode, (30, 20))
    expected = np.asarray(image.rotate(-90, expand=True).convert(mode)).reshape(30, 20, -1).transpose(2, 0, 1)
    assert np.array_equal(how.pixels(upright(Image.open(tmp_path / "turned.png"), mode)), expected)
    found = prepare(tmp_path / "turned.png", facts(how))
    assert np.array_equal(found[0], expected.astype(np.float32) * np.float32(1 / 255))
    given = Image.open(tmp_path / "turned.png")
    assert np.array_equal(prepare(given, facts(how)), found)
    assert given.size == (30, 20), "an image that is given stays open"
    given.getpixel((0, 0))


def test_metadata_round_trip():
    for how in (Preprocessing("L", (8, 8)), Preprocessing("RGB", (64, 96), (73, 110))):
        assert Preprocessing.from_json(json.loads(json.dumps(how.to_json()))) == how


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"preprocessing": None}, "do not say how images are prepared.*exported again"),
        ({"preprocessing": "[1]"}, "do not say how"),
        ({"preprocessing": "{"}, "do not say how"),
        ({"size": [8]}, "do not say how"),
        ({"size": [0, 8]}, "no height and width"),
        ({"cover": [4, 4]}, "cannot be cut out of"),
        ({"interpolation": "bicubic"}, "cannot prepare images with.*bicubic"),
        ({"mode": "CMYK"}, "cannot prepare images with.*CMYK"),
        ({"normalization": None}, "do not say how"),
    ],
)
def test_metadata_that_do_not_say_how(changes, saying):
    metadata = facts(Preprocessing("RGB", (8, 8)))
    for name, value in changes.items():
        if name in metadata:
            metadata = {key: text for key, text in metadata.items() if key != name} | ({name: value} if value else {})
        else:
            metadata["preprocessing"] = json.dumps({**json.loads(metadata["preprocessing"]), name: value})
    with pytest.raises(UnskipError, match=saying):
        prepare(noise(9, 9), metadata)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"none")
    with pytest.raises(UnskipError, match=r"cannot read the image .*x\.jpg"):
        unskip.prepare(tmp_path / "x.jpg", facts(Preprocessing("L", (8, 8))))


def test_it_needs_no_torch():
    code = (
        "import sys; from unskip import prepare, read_metadata; sys.exit('torch' in sys.modules "
        "or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
