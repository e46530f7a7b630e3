"""Random crops and flips of a whole batch at once, every image with its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unskip.data.decode import Pixels


@dataclass(frozen=True)
class PadCropFlip:
    """Cut a random window of the image's own size out of the padded image, and mirror it half of the time.

    ``padding``: pixels on each side, zeros or the image's reflection (without its edge).
    """

    padding: int = 0
    padding_mode: Literal["zeros", "reflect"] = "zeros"
    flip: bool = False


def draw(augmentation: PadCropFlip, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Top and left of ``count`` windows (int64), and whether to mirror them (bool), by the generator's state."""
    top, left = random.integers(0, 2 * augmentation.padding + 1, size=(2, count))
    mirrored = random.random(count) < (0.5 if augmentation.flip else 0.0)
    return torch.from_numpy(top), torch.from_numpy(left), torch.from_numpy(mirrored)


def padded(pixels: Pixels, augmentation: PadCropFlip) -> Pixels:
    """(images, channels, height, width) with the augmentation's padding around each image."""
    if augmentation.padding == 0:
        return pixels
    mode: Literal["constant", "reflect"] = "reflect" if augmentation.padding_mode == "reflect" else "constant"
    sides = (augmentation.padding, augmentation.padding)
    return np.pad(pixels, ((0, 0), (0, 0), sides, sides), mode=mode)


def crop_flip(
    padded: Tensor, size: tuple[int, int], rows: Tensor, top: Tensor, left: Tensor, mirrored: Tensor
) -> Tensor:
    """Cut ``size`` windows out of the images at ``rows``, and mirror those that are ``mirrored``.

    padded: (images, channels, padded height, padded width); the others: (batch,). ``size``: (height, width).
    Returns (batch, channels, height, width).
    """
    # A view of every window of every image: (images, channels, tops, lefts, height, width). Indexing it
    # copies whole rows, and computes one offset per image.
    windows = padded.unfold(2, size[0], 1).unfold(3, size[1], 1)
    crops = windows[rows, :, top, left]
    return torch.where(mirrored[:, None, None, None], crops.flip(-1), crops)
