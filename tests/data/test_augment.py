import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unskip.data.augment import PadCropFlip, crop_flip, draw, padded


def one_by_one(pixels, padding, mode, rows, top, left, mirrored):
    """Pad, cut and mirror every image with plain loops over its pixels."""
    _, channels, height, width = pixels.shape
    result = np.zeros((len(rows), channels, height, width), np.uint8)
    for place, row in enumerate(rows):
        for channel in range(channels):
            for y in range(height):
                for x in range(width):
                    column = width - 1 - x if mirrored[place] else x
                    source_y, source_x = y + top[place] - padding, column + left[place] - padding
                    if mode == "reflect":
                        source_y, source_x = reflected(source_y, height), reflected(source_x, width)
                    if 0 <= source_y < height and 0 <= source_x < width:
                        result[place, channel, y, x] = pixels[row, channel, source_y, source_x]
    return result


def reflected(place, size):
    return -place if place < 0 else 2 * (size - 1) - place if place >= size else place


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@given(
    height=st.integers(3, 7),
    width=st.integers(3, 7),
    padding=st.integers(0, 2),
    flip=st.booleans(),
    seed=st.integers(0, 999),
)
def test_equals_a_loop_over_pixels(mode, height, width, padding, flip, seed):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (4, 2, height, width), dtype=np.uint8)
    rows = random.integers(0, 4, 6)
    augmentation = PadCropFlip(padding, mode, flip)
    images = torch.from_numpy(padded(pixels, augmentation))
    window = draw(augmentation, 6, random)
    result = crop_flip(images, (height, width), torch.from_numpy(rows), *window)
    expected = one_by_one(pixels, padding, mode, rows, *(t.numpy() for t in window))
    assert result.dtype == torch.uint8
    assert np.array_equal(result.numpy(), expected)


def test_every_offset_is_drawn_equally_often():
    top, left, mirrored = draw(PadCropFlip(2, "zeros", flip=True), 50_000, np.random.default_rng(0))
    pairs = torch.bincount(top * 5 + left, minlength=25) / 50_000
    assert torch.allclose(pairs, torch.tensor(1 / 25), atol=0.005)
    assert abs(mirrored.double().mean() - 0.5) < 0.01


def test_images_of_a_batch_are_moved_and_mirrored_independently():
    draws = draw(PadCropFlip(4, "zeros", flip=True), 64, np.random.default_rng(0))
    assert len(set(zip(*(numbers.tolist() for numbers in draws), strict=True))) > 30


def test_nothing_to_do_changes_nothing():
    augmentation = PadCropFlip()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 5, 4), dtype=np.uint8)
    draws = draw(augmentation, 3, np.random.default_rng(0))
    result = crop_flip(torch.from_numpy(padded(pixels, augmentation)), (5, 4), torch.arange(3), *draws)
    assert np.array_equal(result.numpy(), pixels)
