import numpy as np
import torch

from unskip.data.normalize import IMAGENET, Normalization, measured


def batch(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_equals_the_formula():
    pixels = batch(5, 3, 7, 6)
    expected = (pixels.double() / 255 - torch.tensor(IMAGENET.mean)[:, None, None]) / torch.tensor(IMAGENET.std)[
        :, None, None
    ]
    result = IMAGENET(pixels)
    assert result.dtype == torch.float32
    assert torch.allclose(result.double(), expected, atol=1e-6)


def test_memory_format_changes_the_layout_only():
    pixels = batch(4, 3, 6, 5)
    plain, last = IMAGENET(pixels), IMAGENET(pixels, channels_last=True)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


def test_an_images_bits_do_not_depend_on_its_batch():
    pixels = batch(33, 3, 7, 7)
    together = IMAGENET(pixels)
    assert all(torch.equal(together[i : i + 1], IMAGENET(pixels[i : i + 1])) for i in range(33))


def test_the_bytes_are_left_alone():
    pixels = batch(2, 3, 4, 4)
    before = pixels.clone()
    IMAGENET(pixels)
    assert torch.equal(pixels, before)


def test_measured_equals_numpy():
    pixels = batch(20, 3, 8, 8).numpy()
    found = measured(pixels)
    assert np.allclose(found.mean, (pixels / 255).mean((0, 2, 3)), atol=1e-12)
    assert np.allclose(found.std, (pixels / 255).std((0, 2, 3)), atol=1e-12)


def test_a_constant_channel_stays_finite():
    found = measured(np.full((2, 1, 4, 4), 7, np.uint8))
    assert found == Normalization((7 / 255,), (1.0,))
