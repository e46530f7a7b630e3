"""Batches as a function of seed, epoch and step, so that an epoch can be resumed at any step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from unskip.data.image_set import Rows
from unskip.data.normalize import Normalization
from unskip.errors import UnskipError


class Images(Protocol):
    """The labelled images of a split, as uint8 (batch, channels, height, width) on a device."""

    @property
    def labels(self) -> Rows:
        """(images,) class indices."""

    def epoch(self, steps: Steps, seed: int | None, epoch: int, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels, int64 (batch,), of every step; shuffled and augmented if there is a seed."""

    def at(self, rows: Rows) -> Tensor:
        """The images at these rows, as a test sees them."""

    def part(self, rows: Rows, *, augmented: bool) -> Images:
        """The images at these rows by themselves; those that are not ``augmented`` are for tests."""

    def normalization(self) -> Normalization:
        """What they are normalised by where nothing else is said."""

    def digest(self) -> str:
        """A SHA-256 of the images."""


@dataclass(frozen=True)
class Batches:
    """One rank's share of the batches of every epoch; as many as there are steps."""

    images: Images
    normalization: Normalization
    steps: Steps
    seed: int | None
    channels_last: bool = False

    def __len__(self) -> int:
        return len(self.steps)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images, float32 (batch, channels, height, width), and labels, int64 (batch,).

        From ``start_step`` on these are the same bits as the whole epoch's.
        """
        for pixels, labels in self.images.epoch(self.steps, self.seed, epoch, start_step):
            yield self.normalization(pixels, channels_last=self.channels_last), labels


@dataclass(frozen=True)
class Steps:
    """How images are cut into global batches, and the batches into the ranks' shares.

    With ``drop_last`` an incomplete last batch is dropped, unless it is the only one. Where it is kept,
    shares may differ by one image, and a rank whose share would be empty has one step less.
    """

    num_images: int
    batch_size: int
    drop_last: bool
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.world_size
        if self.batch_size < 1 or self.batch_size % self.world_size:
            raise UnskipError(
                f"a batch of {self.batch_size} images cannot be split over {self.world_size} processes; "
                f"make the batch size a multiple of {self.world_size}"
            )
        if self.drop_last and self.num_images < self.world_size:
            raise UnskipError(f"{self.num_images} training images are too few for {self.world_size} processes")

    def __len__(self) -> int:
        full, rest = divmod(self.num_images, self.batch_size)
        if self.drop_last and full:
            return full
        return full + (self._bound(rest, self.rank + 1) > self._bound(rest, self.rank))

    def places(self, step: int) -> slice:
        """The rank's places in the epoch's order."""
        first = step * self.batch_size
        size = min(self.batch_size, self.num_images - first)
        return slice(first + self._bound(size, self.rank), first + self._bound(size, self.rank + 1))

    def _bound(self, size: int, rank: int) -> int:
        return size * rank // self.world_size


def epoch_order(num_images: int, seed: int | None, epoch: int) -> Rows:
    """The order of an epoch's images: shuffled, or as they are without a seed."""
    if seed is None:
        return np.arange(num_images)
    return random_for(seed, epoch, 0).permutation(num_images)


def random_for(*key: int) -> np.random.Generator:
    """A generator that depends on these numbers only."""
    return np.random.default_rng(key)
