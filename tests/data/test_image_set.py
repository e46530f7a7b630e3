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
