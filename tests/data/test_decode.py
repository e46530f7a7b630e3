import numpy as np
import pytest

from unskip.data.decode import decode
from unskip.data.image_set import ArraySet, FileSet
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing

from .small_sets import picture

WHOLE = Preprocessing("RGB", (12, 12))


def files(folder, count=6) -> FileSet:
    for index in range(count):
        picture(index).save(folder / f"{index}.png")
    return FileSet(np.arange(count) % 2, folder, [f"{index}.png" for index in range(count)])


def test_pixels_are_channels_first_and_in_order(tmp_path):
    images = files(tmp_path)
    kept, pixels = decode(images, WHOLE, "images", skip_unreadable=False, progress=None)
    assert kept is images
    expected = np.stack([np.asarray(picture(index)).transpose(2, 0, 1) for index in range(6)])
    assert np.array_equal(pixels, expected)


def test_progress_ends_with_every_image():
    images = ArraySet(np.zeros(600, np.int64), "grey", np.zeros((600, 4, 4), np.uint8))
    calls = []
    decode(
        images, Preprocessing("L", (4, 4)), "images", skip_unreadable=False, progress=lambda *call: calls.append(call)
    )
    assert calls[-1] == ("images", 600, 600)
    assert len(calls) > 1
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


def test_unreadable_images_are_left_out_and_reported(tmp_path):
    images = files(tmp_path)
    (tmp_path / "3.png").write_bytes(b"nothing")
    with pytest.raises(UnskipError, match=r"3\.png"):
        decode(images, WHOLE, "images", skip_unreadable=False, progress=None)
    with pytest.warns(UserWarning, match=r"left out 1 of 6 images that cannot be read: .*3\.png$"):
        kept, pixels = decode(images, WHOLE, "images", skip_unreadable=True, progress=None)
    assert kept.labels.tolist() == [0, 1, 0, 0, 1]
    assert np.array_equal(pixels[3], np.asarray(picture(4)).transpose(2, 0, 1))


def test_a_class_without_readable_images_is_an_error(tmp_path):
    images = files(tmp_path)
    for index in (1, 3, 5):
        (tmp_path / f"{index}.png").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="left out 3"), pytest.raises(UnskipError, match="no image of some class"):
        decode(images, WHOLE, "images", skip_unreadable=True, progress=None)
