import numpy as np
import pytest
from PIL import Image

from unskip.data.image_set import ArraySet, FileSet
from unskip.errors import UnskipError

from .small_sets import picture


def file_set(path) -> FileSet:
    return FileSet(np.zeros(1, np.int64), path.parent, [path.name])


def opened(path) -> np.ndarray:
    return np.asarray(file_set(path).image(0))


def test_exif_orientation_turns_the_image_upright(tmp_path):
    image = picture(0, (6, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    image.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(opened(tmp_path / "turned.png"), np.rot90(np.asarray(image), -1))


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = picture(0).convert("L")
    grey.save(tmp_path / "grey.png")
    assert np.array_equal(opened(tmp_path / "grey.png"), np.stack([np.asarray(grey)] * 3, axis=2))


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.array_equal(opened(tmp_path / "deep.png")[..., 0], values >> 8)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "1", "LA"])
def test_other_modes_become_rgb(tmp_path, mode):
    image = picture(0).convert(mode)
    image.save(tmp_path / "image.tif")
    assert np.array_equal(opened(tmp_path / "image.tif"), np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_keeps_its_colours_without_a_warning(tmp_path, recwarn):
    image = picture(0).convert("P")
    image.save(tmp_path / "image.png", transparency=bytes(range(256)))
    assert np.array_equal(opened(tmp_path / "image.png"), np.asarray(image.convert("RGB")))
    assert not list(recwarn)


def test_a_grey_array_stays_grey():
    pixels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    images = ArraySet(np.arange(3), "grey", pixels)
    assert images.mode == "L"
    assert np.array_equal(np.asarray(images.take(np.array([2, 0])).image(0)), pixels[2])


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    picture(0, (40, 40)).save(path)
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(UnskipError, match=r"cannot read the image .*bad\.png: .*skip_unreadable"):
        file_set(path).image(0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnskipError, match=r"cannot read the image .*gone\.png"):
        file_set(tmp_path / "gone.png").size(0)
