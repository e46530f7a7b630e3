"""Small images: decoded once, kept on the device as bytes, augmented there in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import copy

import numpy as np
import torch
from torch import Tensor

from unskip.data.augment import PadCropFlip, crop_flip, draw, padded
from unskip.data.batches import Steps, epoch_order, random_for
from unskip.data.decode import Pixels
from unskip.data.image_set import Rows
from unskip.data.normalize import Normalization, measured


class ResidentImages:
    """`Images` on a device, padded if they are augmented.

    ``pixels``: uint8 (images, channels, height, width). ``augmentation``: what every pass does to them.
    """

    def __init__(
        self, pixels: Pixels, labels: Rows, device: torch.device, augmentation: PadCropFlip | None = None
    ) -> None:
        self.size = (pixels.shape[2], pixels.shape[3])
        self.augmentation = augmentation
        self.pixels = torch.from_numpy(padded(pixels, augmentation) if augmentation else pixels).to(device)
        self.labels = labels

    def epoch(self, steps: Steps, seed: int | None, epoch: int, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        device = self.pixels.device
        order = torch.from_numpy(epoch_order(steps.num_images, seed, epoch)).to(device)
        labels = torch.from_numpy(self.labels).to(device)[order]
        draws: tuple[Tensor, ...] = ()
        if self.augmentation is not None:
            assert seed is not None
            draws = draw(self.augmentation, steps.num_images, random_for(seed, epoch, 1))
            draws = tuple(numbers.to(device) for numbers in draws)
        for step in range(start_step, len(steps)):
            places = steps.places(step)
            rows = order[places]
            window = [numbers[places] for numbers in draws]
            yield crop_flip(self.pixels, self.size, rows, *window) if window else self.pixels[rows], labels[places]

    def at(self, rows: Rows) -> Tensor:
        """See `Images`."""
        return self._whole()[torch.from_numpy(rows).to(self.pixels.device)]

    def part(self, rows: Rows, *, augmented: bool) -> ResidentImages:
        """See `Images`."""
        part = copy(self)
        part.augmentation = self.augmentation if augmented else None
        pixels = self.pixels if augmented else self._whole()
        part.pixels, part.labels = pixels[torch.from_numpy(rows).to(pixels.device)], self.labels[rows]
        return part

    def normalization(self) -> Normalization:
        """The mean and standard deviation of these images."""
        return measured(self._whole().cpu().numpy())

    def digest(self) -> str:
        """Of the pixels."""
        return array_digest(self._whole().cpu().numpy())

    def _whole(self) -> Tensor:
        border = self.augmentation.padding if self.augmentation else 0
        height, width = self.size
        return self.pixels[..., border : border + height, border : border + width]


def array_digest(array: Rows | Pixels) -> str:
    """A SHA-256 of an array's shape and numbers."""
    digest = hashlib.sha256(f"{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
