"""Large images: decoded and transformed by loader processes, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unskip.data.batches import Batches, Steps, epoch_order
from unskip.data.image_set import ImageSet, Rows
from unskip.data.normalize import Normalization
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing, channels_first
from unskip.torchvision_compat import v2

__all__ = ["StreamedImages", "Transform"]


@dataclass(frozen=True)
class Transform:
    """What happens to one image: in a test what ``preprocessing`` says.

    In training, ``crop`` is a random resized crop, a random window of the padded image, or the whole image, cut to the
    shape.
    """

    preprocessing: Preprocessing
    crop: Literal["resized_crop", "pad_crop", "none"]
    padding: int = 0
    padding_mode: Literal["zeros", "reflect"] = "zeros"
    flip: bool = False
    training: bool = False

    def __call__(self, image: Image.Image) -> Tensor:
        """An image to uint8 (channels, height, width). Random numbers come from torch's global generator."""
        image = self._augmented(image) if self.training else self.preprocessing.placed(image)
        return torch.from_numpy(np.array(channels_first(image), order="C"))

    def _augmented(self, image: Image.Image) -> Image.Image:
        height, width = size = self.preprocessing.size
        if self.crop == "resized_crop":
            shape = width / height  # the usual crops, from 3:4 to 4:3, of a square image
            image = v2.RandomResizedCrop(size, ratio=(3 / 4 * shape, 4 / 3 * shape))(image)
        else:
            image = replace(self.preprocessing, cover=None).placed(image)
        if self.crop == "pad_crop":
            mode = "reflect" if self.padding_mode == "reflect" else "constant"
            image = v2.RandomCrop(size, padding=self.padding, padding_mode=mode)(image)
        return v2.RandomHorizontalFlip()(image) if self.flip else image


@dataclass(frozen=True)
class StreamedImages:
    """Labelled images that are read again in every epoch."""

    image_set: ImageSet
    transform: Transform
    normalization: Normalization
    device: torch.device
    workers: int

    def batches(self, steps: Steps, seed: int | None, *, channels_last: bool = False) -> Batches:
        """Batches of these images, shuffled and augmented if there is a seed."""
        transform = replace(self.transform, training=seed is not None)
        return _StreamedBatches(replace(self, transform=transform), steps, seed, channels_last)

    def images(self, rows: Rows) -> Tensor:
        """The normalised images at ``rows``, transformed as for a test."""
        transform = replace(self.transform, training=False)
        pixels = torch.stack([transform(self.image_set.image(int(row))) for row in rows])
        return self.normalization(pixels.to(self.device))

    def normalized(self, normalization: Normalization) -> StreamedImages:
        """The same images, normalised in another way."""
        return replace(self, normalization=normalization)


@dataclass(frozen=True)
class _StreamedBatches:
    source: StreamedImages
    steps: Steps
    seed: int | None
    channels_last: bool

    def __len__(self) -> int:
        return len(self.steps)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        source = self.source
        order = epoch_order(self.steps.num_images, self.seed, epoch)
        loader = DataLoader(
            _Items(source.image_set, source.transform, self.seed or 0, epoch),
            batch_sampler=[order[self.steps.places(step)].tolist() for step in range(start_step, len(self))],
            num_workers=source.workers,
            collate_fn=_collate,
            pin_memory=source.device.type == "cuda",
            generator=torch.Generator(),  # or the loader would draw from the global one
        )
        for pixels, labels in loader:
            if isinstance(pixels, str):
                raise UnskipError(pixels)
            pixels, labels = (t.to(source.device, non_blocking=True) for t in (pixels, labels))
            yield source.normalization(pixels, channels_last=self.channels_last), labels


@dataclass(frozen=True)
class _Items(Dataset[tuple[Tensor | str, int]]):
    """An epoch's images by row: uint8 (channels, height, width) and label, or what went wrong and label."""

    images: ImageSet
    transform: Transform
    seed: int
    epoch: int

    def __getitem__(self, row: int) -> tuple[Tensor | str, int]:
        try:
            image = self.images.image(row)
        except UnskipError as error:  # loaders wrap exceptions in tracebacks
            return str(error), 0
        with torch.random.fork_rng(devices=[]):
            key = np.random.SeedSequence((self.seed, self.epoch, row)).generate_state(1, np.uint64)
            torch.default_generator.manual_seed(int(key[0]))  # torch.manual_seed would seed other devices too
            return self.transform(image), int(self.images.labels[row])


def _collate(items: list[tuple[Tensor | str, int]]) -> tuple[Tensor | str, Tensor]:
    pixels, labels = zip(*items, strict=True)
    failure = next((item for item in pixels if isinstance(item, str)), None)
    return failure or torch.stack(pixels), torch.tensor(labels)
