"""`load_data`: from a recipe's data section to batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from unskip.data.augment import PadCropFlip
from unskip.data.batches import Batches, Steps
from unskip.data.decode import Pixels, Progress, decode, readable
from unskip.data.image_set import EncodedSet, ImageSet, Listing, Rows
from unskip.data.leaks import warn_of_shared_images
from unskip.data.normalize import IMAGENET, Normalization, measured
from unskip.data.resident import ResidentImages
from unskip.data.sources import Source, read_source
from unskip.data.subsets import balanced_order, balanced_share, balanced_subset
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.recipe import DataRecipe

__all__ = ["Data", "load_data"]

_LARGEST_RESIDENT = 64  # pixels; larger images are streamed
_LARGE_SIZE = 224  # pixels; what images of different sizes are brought to


class _Images(Protocol):
    def batches(self, steps: Steps, seed: int | None, *, channels_last: bool = False) -> Batches: ...

    def images(self, rows: Rows) -> Tensor: ...

    def normalized(self, normalization: Normalization) -> _Images: ...


@dataclass(frozen=True)
class Data:
    """Training and test images, ready to be batched.

    ``image_shape`` is (channels, height, width); ``mean`` and ``std``, by channel, are those of images scaled
    to 0..1, and are already applied to every batch. ``fingerprint`` is a SHA-256 of classes, labels and
    images: of their pixels for images on the device, of relative paths and sizes in bytes for streamed ones.
    """

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_train: int
    num_test: int
    fingerprint: str
    _train: _Images = field(repr=False, compare=False)
    _test: _Images = field(repr=False, compare=False)
    _train_labels: Rows = field(repr=False, compare=False)
    _test_labels: Rows = field(repr=False, compare=False)

    @property
    def info(self) -> DataInfo:
        """What a network that is trained on this data must know of it."""
        return DataInfo(self.classes, self.image_shape, self.mean, self.std)

    def train_batches(
        self, batch_size: int, seed: int, *, channels_last: bool = False, rank: int = 0, world_size: int = 1
    ) -> Batches:
        """Shuffled, augmented batches; what they hold depends on (seed, epoch, step) only.

        ``batch_size`` counts the images of all ranks together. `UnskipError` when the ranks cannot share it
        evenly.
        """
        steps = Steps(self.num_train, batch_size, drop_last=True, rank=rank, world_size=world_size)
        return self._train.batches(steps, seed, channels_last=channels_last)

    def test_batches(
        self, batch_size: int, *, channels_last: bool = False, rank: int = 0, world_size: int = 1
    ) -> Batches:
        """Every test image once, in a fixed order, without augmentation; ranks may differ by one batch."""
        steps = Steps(self.num_test, batch_size, drop_last=False, rank=rank, world_size=world_size)
        return self._test.batches(steps, None, channels_last=channels_last)

    def test_images(self, count: int) -> Tensor:
        """Normalised test images, (count, channels, height, width), balanced over the classes.

        Always the same ones; all test images where there are no more than ``count``.
        """
        return self._test.images(balanced_order(self._test_labels, 0)[:count])

    def train_images(self, count: int, seed: int) -> Tensor:
        """Training images as test images are seen, without augmentation, drawn with a seed; see :meth:`test_images`."""
        return self._train.images(balanced_order(self._train_labels, seed)[:count])

    def scaled(self) -> Data:
        """The same images scaled to 0..1 and not normalised any further: for what normalises them itself."""
        channels = self.image_shape[0]
        identity = Normalization((0.0,) * channels, (1.0,) * channels)
        return replace(
            self,
            mean=identity.mean,
            std=identity.std,
            _train=self._train.normalized(identity),
            _test=self._test.normalized(identity),
        )


def load_data(
    recipe: DataRecipe,
    *,
    device: str | torch.device | None = None,
    default_size: int = _LARGE_SIZE,
    normalization: Normalization | None = None,
    progress: Progress | None = None,
) -> Data:
    """Read the images that a recipe names.

    Images of at most 64 pixels are decoded once and kept on ``device`` (by default the best there is); larger ones are
    streamed by loader processes. ``default_size`` is the side in pixels of images that have no common size of at most
    64, where the recipe names none. ``progress`` is called with what is being decoded, how many images are done, and
    how many there are. ``normalization`` is that of a network trained before; by default that of the training images,
    or ImageNet's for streamed ones. `UnskipError` when the images cannot be used, naming the folder or file.
    """
    source = read_source(recipe)
    train = _subset(source.train, source, recipe, "limit")
    test = _subset(source.test, source, recipe, "test_limit")
    size = _size(recipe, train, test, default_size)
    home = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    crop = recipe.augmentation or ("pad_crop" if max(size) <= _LARGEST_RESIDENT else "resized_crop")
    window = _window(recipe, crop, size)
    if max(size) <= _LARGEST_RESIDENT and crop != "resized_crop":
        return _resident(source, recipe, train, test, size, window, normalization, home, progress)
    return _streamed(source, recipe, train, test, size, crop, window, normalization, home, progress)


def _resident(
    source: Source,
    recipe: DataRecipe,
    train: ImageSet,
    test: ImageSet,
    size: tuple[int, int],
    window: PadCropFlip,
    normalization: Normalization | None,
    device: torch.device,
    progress: Progress | None,
) -> Data:
    skip = recipe.skip_unreadable
    train, pixels = decode(train, size, "training images", skip_unreadable=skip, progress=progress)
    test, test_pixels = decode(test, size, "test images", skip_unreadable=skip, progress=progress)
    warn_of_shared_images(map(_bytes, pixels), train.labels, map(_bytes, test_pixels), test.labels)
    normalization = normalization or measured(pixels)
    return Data(
        name=source.name,
        classes=source.classes,
        image_shape=(pixels.shape[1], *size),
        mean=normalization.mean,
        std=normalization.std,
        num_train=len(train),
        num_test=len(test),
        fingerprint=_fingerprint(source.classes, (train.labels, pixels), (test.labels, test_pixels)),
        _train=ResidentImages(pixels, train.labels, normalization, device, window),
        _test=ResidentImages(test_pixels, test.labels, normalization, device),
        _train_labels=train.labels,
        _test_labels=test.labels,
    )


def _streamed(
    source: Source,
    recipe: DataRecipe,
    train: ImageSet,
    test: ImageSet,
    size: tuple[int, int],
    crop: Literal["pad_crop", "resized_crop", "none"],
    window: PadCropFlip,
    normalization: Normalization | None,
    device: torch.device,
    progress: Progress | None,
) -> Data:
    from unskip.data.streamed import StreamedImages, Transform

    if recipe.skip_unreadable:
        train = readable(train, "training images", progress=progress)
        test = readable(test, "test images", progress=progress)
    if isinstance(train, EncodedSet) and isinstance(test, EncodedSet):  # files are not read before they are needed
        warn_of_shared_images(train.contents(), train.labels, test.contents(), test.labels)
    channels = len(train.mode)
    normalization = normalization or (IMAGENET if channels == 3 else Normalization((0.5,), (0.5,)))
    transform = Transform(size, crop, window.padding, window.padding_mode, window.flip)
    return Data(
        name=source.name,
        classes=source.classes,
        image_shape=(channels, *size),
        mean=normalization.mean,
        std=normalization.std,
        num_train=len(train),
        num_test=len(test),
        fingerprint=_fingerprint(source.classes, *((images.labels, _stamps(images)) for images in (train, test))),
        _train=StreamedImages(train, transform, normalization, device, recipe.workers),
        _test=StreamedImages(test, transform, normalization, device, recipe.workers),
        _train_labels=train.labels,
        _test_labels=test.labels,
    )


def _subset(listing: Listing, source: Source, recipe: DataRecipe, key: Literal["limit", "test_limit"]) -> ImageSet:
    labels = listing.labels
    limit = recipe.limit if key == "limit" else recipe.test_limit
    rows = np.arange(len(labels))
    if limit is not None:
        if key == "limit" and limit < len(source.classes):
            raise UnskipError(
                f"data.limit: {limit} images cannot cover the {len(source.classes)} classes of {source.name}"
            )
        rows = balanced_subset(labels, min(limit, len(labels)), recipe.seed)
    elif key == "limit" and recipe.fraction is not None:
        rows = balanced_share(labels, recipe.fraction, recipe.seed)
    return listing.take(rows)


def _size(recipe: DataRecipe, train: ImageSet, test: ImageSet, default: int) -> tuple[int, int]:
    """(height, width) of what the networks see."""
    if recipe.image_size is not None:
        return recipe.image_size, recipe.image_size
    common: tuple[int, int] | None = None
    for images in (train, test):
        for index in range(len(images)):
            try:
                size = images.size(index)
            except UnskipError:
                if recipe.skip_unreadable:
                    continue
                raise
            if max(size) > _LARGEST_RESIDENT or size != (common or size):
                return default, default
            common = size
    return common or (default, default)


def _window(recipe: DataRecipe, crop: str, size: tuple[int, int]) -> PadCropFlip:
    if crop != "pad_crop" and recipe.padding is not None:
        raise UnskipError(f"data.padding belongs to augmentation pad_crop, but the augmentation here is {crop}")
    padding = (min(size) // 8 if recipe.padding is None else recipe.padding) if crop == "pad_crop" else 0
    if recipe.padding_mode == "reflect" and padding >= min(size):
        raise UnskipError(f"data.padding: {padding} pixels cannot be reflected from images of {min(size)}; use less")
    flip = recipe.flip if recipe.flip is not None else recipe.name != "digits" and crop != "none"
    return PadCropFlip(padding, recipe.padding_mode, flip)


def _bytes(pixels: Pixels) -> bytes:
    return pixels.tobytes()


def _stamps(images: ImageSet) -> list[str]:
    return [images.stamp(index) for index in range(len(images))]


def _fingerprint(classes: tuple[str, ...], *splits: tuple[Rows, Pixels | list[str]]) -> str:
    digest = hashlib.sha256("\0".join(classes).encode())
    for labels, content in splits:
        digest.update(f"\0{len(labels)}\0".encode())
        digest.update(np.ascontiguousarray(labels, "<i8").tobytes())
        if isinstance(content, np.ndarray):
            digest.update(f"{content.shape}".encode())
            digest.update(np.ascontiguousarray(content).data)
        else:
            for stamp in content:
                digest.update(f"{stamp}\0".encode())
    return digest.hexdigest()
