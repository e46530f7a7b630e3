"""Small images: decoded once, kept on the device as bytes, augmented there in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unskip.data.augment import PadCropFlip, crop_flip, draw, padded
from unskip.data.batches import Batches, Steps, epoch_order, random_for
from unskip.data.decode import Pixels
from unskip.data.image_set import Rows
from unskip.data.normalize import Normalization

__all__ = ["ResidentImages"]


class ResidentImages:
    """Labelled images on a device: uint8 (images, channels, height, width), padded if they are augmented.

    ``augmentation``: what every pass does to the images; nothing by default.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: Rows,
        normalization: Normalization,
        device: torch.device,
        augmentation: PadCropFlip | None = None,
    ) -> None:
        self.size = (pixels.shape[2], pixels.shape[3])
        self.augmentation = augmentation
        self.normalization = normalization
        self.pixels = torch.from_numpy(padded(pixels, augmentation) if augmentation else pixels).to(device)
        self.labels = torch.from_numpy(labels).to(device)

    def batches(self, steps: Steps, seed: int | None, *, channels_last: bool = False) -> Batches:
        """Batches of these images, shuffled if there is a seed."""
        return _ResidentBatches(self, steps, seed, channels_last)

    def images(self, rows: Rows) -> Tensor:
        """The normalised images at ``rows``, as they are without augmentation."""
        border = self.augmentation.padding if self.augmentation else 0
        height, width = self.size
        inside = self.pixels[..., border : border + height, border : border + width]
        return self.normalization(inside[torch.from_numpy(rows).to(self.pixels.device)])

    def normalized(self, normalization: Normalization) -> ResidentImages:
        """The same images, sharing their pixels, normalised in another way."""
        twin = copy.copy(self)
        twin.normalization = normalization
        return twin


@dataclass(frozen=True)
class _ResidentBatches:
    source: ResidentImages
    steps: Steps
    seed: int | None
    channels_last: bool

    def __len__(self) -> int:
        return len(self.steps)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        source, device = self.source, self.source.pixels.device
        order = torch.from_numpy(epoch_order(self.steps.num_images, self.seed, epoch)).to(device)
        draws = None
        if source.augmentation is not None:
            assert self.seed is not None
            draws = draw(source.augmentation, self.steps.num_images, random_for(self.seed, epoch, 1)).to(device)
        for step in range(start_step, len(self)):
            places = self.steps.places(step)
            rows = order[places]
            if draws is None:
                pixels = source.pixels[rows]
            else:
                window = draws.top[places], draws.left[places], draws.mirrored[places]
                pixels = crop_flip(source.pixels, source.size, rows, *window)
            yield source.normalization(pixels, channels_last=self.channels_last), source.labels[rows]
