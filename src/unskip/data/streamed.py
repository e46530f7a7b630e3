"""Large images: decoded and transformed by loader processes, one after the other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unskip.data.augment import PadCropFlip
from unskip.data.batches import Steps, epoch_order
from unskip.data.decode import chunks
from unskip.data.image_set import ImageSet, Rows
from unskip.data.normalize import IMAGENET, Normalization
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing, channels_first
from unskip.torchvision_compat import v2


@dataclass(frozen=True)
class Transform:
    """What happens to one image: in a test what ``preprocessing`` says.

    In training, ``crop`` is a random resized crop, a random window of the padded image, or the whole image, cut to the
    shape.
    """

    preprocessing: Preprocessing
    crop: Literal["resized_crop", "pad_crop", "none"]
    window: PadCropFlip

    def for_tests(self, image: Image.Image) -> Tensor:
        """An image to uint8 (channels, height, width)."""
        return _tensor(self.preprocessing.placed(image))

    def augmented(self, image: Image.Image) -> Tensor:
        """The same with random numbers from torch's global generator."""
        height, width = size = self.preprocessing.size
        if self.crop == "resized_crop":
            shape = width / height  # the usual crops, from 3:4 to 4:3, of a square image
            image = v2.RandomResizedCrop(size, ratio=(3 / 4 * shape, 4 / 3 * shape))(image)
        else:
            image = replace(self.preprocessing, cover=None).placed(image)
        if self.crop == "pad_crop":
            mode = "reflect" if self.window.padding_mode == "reflect" else "constant"
            image = v2.RandomCrop(size, padding=self.window.padding, padding_mode=mode)(image)
        return _tensor(v2.RandomHorizontalFlip()(image) if self.window.flip else image)


@dataclass(frozen=True)
class StreamedImages:
    """`Images` that are read again in every epoch."""

    image_set: ImageSet
    transform: Transform
    device: torch.device
    workers: int

    @property
    def labels(self) -> Rows:
        """See `Images`."""
        return self.image_set.labels

    def epoch(self, steps: Steps, seed: int | None, epoch: int, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        order = epoch_order(steps.num_images, seed, epoch)
        loader = DataLoader(
            _Items(self.image_set, self.transform, seed, epoch),
            batch_sampler=[order[steps.places(step)].tolist() for step in range(start_step, len(steps))],
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # or the loader would draw from the global one
        )
        for pixels, labels in loader:
            if isinstance(pixels, str):
                raise UnskipError(pixels)
            yield pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def at(self, rows: Rows) -> Tensor:
        """See `Images`."""
        return torch.stack([self.transform.for_tests(self.image_set.image(int(row))) for row in rows]).to(self.device)

    def part(self, rows: Rows, *, augmented: bool) -> StreamedImages:
        """See `Images`; a pass without a seed is one for tests."""
        return replace(self, image_set=self.image_set.take(rows))

    def normalization(self) -> Normalization:
        """ImageNet's for colours, from -1 to 1 for greys."""
        return IMAGENET if self.transform.preprocessing.mode == "RGB" else Normalization((0.5,), (0.5,))

    def digest(self) -> str:
        """Of the places and the bytes of all images, read by several threads."""
        digest = hashlib.sha256()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for stamps in pool.map(
                lambda chunk: [self.image_set.stamp(index) for index in chunk], chunks(len(self.image_set))
            ):
                digest.update("".join(f"{stamp}\0" for stamp in stamps).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class _Items(Dataset[tuple[Tensor | str, int]]):
    """An epoch's images by row: uint8 (channels, height, width) and label, or what went wrong and label.

    They are augmented if there is a seed.
    """

    images: ImageSet
    transform: Transform
    seed: int | None
    epoch: int

    def __getitem__(self, row: int) -> tuple[Tensor | str, int]:
        label = int(self.images.labels[row])
        try:
            image = self.images.image(row)
        except UnskipError as error:  # loaders wrap exceptions in tracebacks
            return str(error), label
        if self.seed is None:
            return self.transform.for_tests(image), label
        with torch.random.fork_rng(devices=[]):
            key = np.random.SeedSequence((self.seed, self.epoch, row)).generate_state(1, np.uint64)
            torch.default_generator.manual_seed(int(key[0]))  # torch.manual_seed would seed other devices too
            return self.transform.augmented(image), label


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(channels_first(image), order="C"))


def _collate(items: list[tuple[Tensor | str, int]]) -> tuple[Tensor | str, Tensor]:
    pixels, labels = zip(*items, strict=True)
    failure = next((item for item in pixels if isinstance(item, str)), None)
    return failure or torch.stack(pixels), torch.tensor(labels)
