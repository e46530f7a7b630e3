"""Large images: decoded and transformed by threads, and kept as bytes while there is memory."""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unskip.data.augment import PadCropFlip, padded
from unskip.data.batches import Steps, random_for
from unskip.data.decode import Pixels, chunks
from unskip.data.image_set import ImageSet, Rows
from unskip.data.kept_pixels import KeptPixels
from unskip.data.normalize import IMAGENET, Normalization
from unskip.preprocessing import Preprocessing


@dataclass(frozen=True)
class Transform:
    """What happens to one image: in a test what ``preprocessing`` says.

    In training, ``crop`` is a random resized crop, a random window of the padded image, or the whole image, cut to the
    shape.
    """

    preprocessing: Preprocessing
    crop: Literal["resized_crop", "pad_crop", "none"]
    window: PadCropFlip

    def for_tests(self, image: Pixels) -> Tensor:
        """An image, uint8 (height, width) or (height, width, 3), to uint8 (channels, height, width)."""
        return torch.from_numpy(self.preprocessing.pixels(Image.fromarray(image)).copy())

    def augmented(self, image: Pixels, random: np.random.Generator) -> Tensor:
        """The same with random numbers."""
        height, width = size = self.preprocessing.size
        if self.crop == "resized_crop":
            top, left, tall, wide = random_window(image.shape[0], image.shape[1], width / height, random)
            pixels = resized(image[top : top + tall, left : left + wide], size)
        else:
            placed = replace(self.preprocessing, cover=None).pixels(Image.fromarray(image))
            if self.crop == "pad_crop":
                border = self.window.padding
                top, left = random.integers(0, 2 * border + 1, size=2)
                placed = padded(placed[None], self.window)[0, :, top : top + height, left : left + width]
            pixels = torch.from_numpy(placed.copy())
        return pixels.flip(-1) if self.window.flip and random.random() < 0.5 else pixels


def random_window(height: int, width: int, shape: float, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random resized crop, as torchvision draws them (Szegedy et al. 2015, section 6).

    A share of 0.08 to 1 of the image's area, 3:4 to 4:3 of ``shape`` (width over height); after ten windows that do not
    fit, the largest at the centre that has such a shape.
    """
    least, most = 3 / 4 * shape, 4 / 3 * shape
    for _ in range(10):
        area = height * width * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(least), math.log(most)))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            return int(random.integers(0, height - tall + 1)), int(random.integers(0, width - wide + 1)), tall, wide
    tall, wide = height, width
    if width / height < least:
        tall = max(1, round(width / least))
    elif width / height > most:
        wide = max(1, round(height * most))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def resized(image: Pixels, size: tuple[int, int]) -> Tensor:
    """uint8 (height, width) or (height, width, 3) to (channels, *size), bilinear with antialias.

    Within one step of Pillow's, in a third of the time: PyTorch has a kernel for bytes whose channels lie together.
    """
    together = np.array(image if image.ndim == 3 else image[..., None], order="C")
    maps = torch.from_numpy(together)[None].permute(0, 3, 1, 2)
    return functional.interpolate(maps, size, mode="bilinear", antialias=True)[0]


@dataclass(frozen=True)
class StreamedImages:
    """`Images` that are read when they are needed, by ``workers`` threads; 0 is without.

    With ``keep``, what was decoded is kept while the memory lasts: in training from the first epoch on, in tests from
    the second pass on, as most are tested once.
    """

    image_set: ImageSet
    transform: Transform
    device: torch.device
    workers: int
    keep: bool = True
    kept_pixels: KeptPixels = field(default_factory=KeptPixels)

    @property
    def labels(self) -> Rows:
        """See `Images`."""
        return self.image_set.labels

    def epoch(self, steps: Steps, seed: int | None, epoch: int, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        count = steps.num_images
        order = (
            np.arange(count) if seed is None else self.image_set.shuffled(random_for(seed, epoch, 0), steps.batch_size)
        )
        rows = [order[steps.places(step)] for step in range(start_step, len(steps))]
        keep = self.keep and (seed is not None or self.kept_pixels.passes > 0)
        self.kept_pixels.passes += 1

        def batch(rows: Rows) -> Tensor:
            pixels = torch.stack([self._pixels(int(row), seed, epoch, keep=keep) for row in rows])
            return pixels.pin_memory() if self.device.type == "cuda" else pixels

        for places, pixels in zip(rows, ahead(batch, rows, self.workers), strict=True):
            labels = torch.from_numpy(self.labels[places])
            yield pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def at(self, rows: Rows) -> Tensor:
        """See `Images`."""
        images = {int(row): self._pixels(int(row), None, 0, keep=False) for row in np.sort(rows)}  # as they are stored
        return torch.stack([images[int(row)] for row in rows]).to(self.device)

    def part(self, rows: Rows, *, augmented: bool) -> StreamedImages:
        """See `Images`; a pass without a seed is one for tests."""
        return replace(self, image_set=self.image_set.take(rows), kept_pixels=KeptPixels())

    def _pixels(self, row: int, seed: int | None, epoch: int, *, keep: bool) -> Tensor:
        """An image as uint8 (channels, height, width), augmented if there is a seed."""
        image = self.kept_pixels.get(row)
        if image is None:
            image = np.asarray(self.image_set.image(row))
            if keep:
                self.kept_pixels.put(row, image)
        return (
            self.transform.for_tests(image)
            if seed is None
            else self.transform.augmented(image, random_for(seed, epoch, row))
        )

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


def ahead(work: Callable[[Rows], Tensor], asked: Sequence[Rows], workers: int) -> Iterator[Tensor]:
    """What ``work`` gives for each, in order, begun by threads before it is asked for.

    Threads and not processes: decoding and scaling leave Python's lock, what was decoded serves all of them, and no
    batch is copied from one process to another.
    """
    if workers == 0:
        yield from map(work, asked)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        begun: deque[Future[Tensor]] = deque()
        for each in asked:
            begun.append(pool.submit(work, each))
            if len(begun) > 2 * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
