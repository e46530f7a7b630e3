"""Training and test images, ready to be batched."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from unskip.data.batches import Batches, Images, Steps
from unskip.data.normalize import Normalization, named_normalization
from unskip.data.resident import array_digest
from unskip.data.subsets import balanced_order, balanced_share, held_out
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing

_MOST_IMAGES, _MOST_PIXELS = 512, 64 * 224 * 224


@dataclass(frozen=True)
class Data:
    """Training and test images; ``normalization`` is already applied to every batch.

    ``preprocessing`` is what tests do to an image.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    normalization: Normalization
    _train: Images = field(repr=False, compare=False)
    _test: Images = field(repr=False, compare=False)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.preprocessing.image_shape

    @property
    def mean(self) -> tuple[float, ...]:
        """By channel, of images scaled to 0..1."""
        return self.normalization.mean

    @property
    def std(self) -> tuple[float, ...]:
        """By channel, of images scaled to 0..1."""
        return self.normalization.std

    @property
    def num_train(self) -> int:
        """How many training images there are."""
        return len(self._train.labels)

    @property
    def num_test(self) -> int:
        """How many test images there are."""
        return len(self._test.labels)

    @functools.cached_property
    def contents(self) -> Mapping[str, str]:
        """SHA-256 of the images and of the labels of both splits.

        Of the pixels of images that live on the device; of the relative paths and the bytes of streamed ones, which
        are all read when this is first asked for.
        """
        splits = {"training": self._train, "test": self._test}
        images = {f"{split} images": images.digest() for split, images in splits.items()}
        labels = {f"{split} labels": array_digest(images.labels.astype("<i8")) for split, images in splits.items()}
        return images | labels

    @property
    def fingerprint(self) -> str:
        """A SHA-256 of classes, labels and images."""
        return hashlib.sha256("\0".join([*self.classes, *self.contents.values()]).encode()).hexdigest()

    @property
    def info(self) -> DataInfo:
        """What a network that is trained on this data must know of it."""
        return DataInfo(self.classes, self.image_shape, self.mean, self.std, self.preprocessing)

    def train_batches(
        self, batch_size: int, seed: int, *, channels_last: bool = False, rank: int = 0, world_size: int = 1
    ) -> Batches:
        """Shuffled, augmented batches; what they hold depends on (seed, epoch, step) only.

        ``batch_size`` counts the images of all ranks together. `UnskipError` when the ranks cannot share it
        evenly.
        """
        steps = Steps(self.num_train, batch_size, drop_last=True, rank=rank, world_size=world_size)
        return Batches(self._train, self.normalization, steps, seed, channels_last)

    def test_batches(
        self, batch_size: int | None = None, *, channels_last: bool = False, rank: int = 0, world_size: int = 1
    ) -> Batches:
        """Every test image once, in a fixed order, without augmentation; ranks may differ by one batch.

        By default a batch is no more than 512 images and no more pixels than 64 images of 224 by 224 have, so that an
        evaluation needs less memory than a training.
        """
        if batch_size is None:
            _, height, width = self.image_shape
            batch_size = max(1, min(_MOST_IMAGES, _MOST_PIXELS // (height * width)))
        steps = Steps(self.num_test, batch_size, drop_last=False, rank=rank, world_size=world_size)
        return Batches(self._test, self.normalization, steps, None, channels_last)

    def test_images(self, count: int) -> Tensor:
        """Normalised test images, (count, channels, height, width), balanced over the classes.

        Always the same ones; all test images where there are no more than ``count``.
        """
        return self.labelled_test_images(count)[0]

    def labelled_test_images(self, count: int) -> tuple[Tensor, Tensor]:
        """:meth:`test_images` and their labels, (count,)."""
        rows = balanced_order(self._test.labels, 0)[:count]
        return self.normalization(self._test.at(rows)), torch.from_numpy(self._test.labels[rows])

    def train_images(self, count: int, seed: int) -> Tensor:
        """Training images as test images are seen, without augmentation, drawn with a seed; see :meth:`test_images`."""
        return self.labelled_train_images(count, seed)[0]

    def labelled_train_images(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """:meth:`train_images` and their labels, (count,)."""
        rows = balanced_order(self._train.labels, seed)[:count]
        return self.normalization(self._train.at(rows)), torch.from_numpy(self._train.labels[rows])

    def scaled(self) -> Data:
        """The same images scaled to 0..1 and not normalised any further: for what normalises them itself."""
        return self.normalized(named_normalization("none", self.image_shape[0]))

    def normalized(self, normalization: Normalization) -> Data:
        """The same images normalised in another way; `UnskipError` for another number of channels."""
        channels = self.image_shape[0]
        if len(normalization.mean) != channels:
            mean = ", ".join(f"{number:.4g}" for number in normalization.mean)
            raise UnskipError(
                f"the normalisation has {len(normalization.mean)} channels (mean {mean}), but the images of "
                f"{self.name} have {channels}; give as many means and standard deviations"
            )
        return replace(self, normalization=normalization)

    def with_held_out(self, fraction: float, seed: int = 0) -> Data:
        """With a share of every class's training images as the test images, and the others to train on.

        `UnskipError` where a class has no two training images.
        """
        stay, leave = held_out(self._train.labels, fraction, seed)
        _, counts = np.unique(self._train.labels, return_counts=True)
        if counts.min() < 2:
            raise UnskipError(f"no image can be held out: a class of {self.name} has one training image")
        return replace(
            self, _train=self._train.part(stay, augmented=True), _test=self._train.part(leave, augmented=False)
        )

    def with_training_share(self, fraction: float, seed: int = 0) -> Data:
        """With a share of every class's training images, at least one of each."""
        rows = balanced_share(self._train.labels, fraction, seed)
        return replace(self, _train=self._train.part(rows, augmented=True))
