"""`load_data`: from a recipe's data section to batches."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from unskip.data.normalize import IMAGENET, Normalization, measured, named_normalization
from unskip.data.resident import ResidentImages
from unskip.data.sources import Source, read_source
from unskip.data.subsets import balanced_order, balanced_share, balanced_subset
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing
from unskip.recipe import DataRecipe

__all__ = ["Data", "load_data"]

_LARGEST_RESIDENT = 64  # pixels; larger images are streamed
_CHUNK = 256  # images that a thread hashes in one go
_LARGE_SIZE = 224  # pixels; what images of different sizes are brought to
_TEST_ZOOM = 256 / 224  # of nets trained with random resized crops: their tests cut the image's border away


class _Images(Protocol):
    def batches(self, steps: Steps, seed: int | None, *, channels_last: bool = False) -> Batches: ...

    def images(self, rows: Rows) -> Tensor: ...

    def normalized(self, normalization: Normalization) -> _Images: ...


@dataclass(frozen=True)
class Data:
    """Training and test images, ready to be batched.

    ``image_shape`` is (channels, height, width); ``mean`` and ``std``, by channel, are those of images scaled
    to 0..1, and are already applied to every batch. ``preprocessing`` is what tests do to an image.
    """

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: Preprocessing
    num_train: int
    num_test: int
    _contents: Callable[[], Mapping[str, str]] = field(repr=False, compare=False)
    _train: _Images = field(repr=False, compare=False)
    _test: _Images = field(repr=False, compare=False)
    _train_labels: Rows = field(repr=False, compare=False)
    _test_labels: Rows = field(repr=False, compare=False)

    @functools.cached_property
    def contents(self) -> Mapping[str, str]:
        """SHA-256 of the images and of the labels of both splits.

        Of the pixels of images that live on the device; of the relative paths and the bytes of streamed ones, which
        are all read when this is first asked for.
        """
        return self._contents()

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

    def labelled_test_images(self, count: int) -> tuple[Tensor, Tensor]:
        """:meth:`test_images` and their labels, (count,)."""
        rows = balanced_order(self._test_labels, 0)[:count]
        return self._test.images(rows), torch.from_numpy(self._test_labels[rows])

    def train_images(self, count: int, seed: int) -> Tensor:
        """Training images as test images are seen, without augmentation, drawn with a seed; see :meth:`test_images`."""
        return self._train.images(balanced_order(self._train_labels, seed)[:count])

    def scaled(self) -> Data:
        """The same images scaled to 0..1 and not normalised any further: for what normalises them itself."""
        return self.normalized(named_normalization("none", self.image_shape[0]))

    def normalized(self, normalization: Normalization) -> Data:
        """The same images normalised in another way; `UnskipError` for another number of channels."""
        channels = self.image_shape[0]
        if len(normalization.mean) != channels:
            raise UnskipError(
                f"the normalisation has {len(normalization.mean)} channels (mean {_list(normalization.mean)}), but the "
                f"images of {self.name} have {channels}; give as many means and standard deviations"
            )
        return replace(
            self,
            mean=normalization.mean,
            std=normalization.std,
            _train=self._train.normalized(normalization),
            _test=self._test.normalized(normalization),
        )


def load_data(
    recipe: DataRecipe,
    *,
    labelled: bool = True,
    device: str | torch.device | None = None,
    default_size: int = _LARGE_SIZE,
    normalization: Normalization | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
) -> Data:
    """Read the images that a recipe names; those that need not be ``labelled`` come without classes.

    Images of at most 64 pixels are decoded once and kept on ``device`` (by default the best there is); larger ones are
    streamed by loader processes. ``default_size`` is the side in pixels of images that have no common size of at most
    64, where the recipe names none. ``progress`` is called with what is being decoded, how many images are done, and
    how many there are. ``normalization`` and ``preprocessing`` are those of a network trained before, whatever the
    recipe says; by default the images are normalised by the training images, or as ImageNet's if streamed.
    `UnskipError` when the images cannot be used, naming the folder or file.
    """
    source = read_source(recipe, labelled=labelled)
    train = _subset(source.train, source, recipe, "limit")
    test = _subset(source.test, source, recipe, "test_limit")
    size = preprocessing.size if preprocessing else _size(recipe, train, test, default_size)
    home = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    crop = recipe.augmentation or ("pad_crop" if max(size) <= _LARGEST_RESIDENT else "resized_crop")
    window = _window(recipe, crop, size)
    how = replace(preprocessing or _test_preprocessing(crop, size), mode=train.mode)
    if max(size) <= _LARGEST_RESIDENT and crop != "resized_crop":
        return _resident(source, recipe, train, test, how, window, normalization, home, progress)
    return _streamed(source, recipe, train, test, how, crop, window, normalization, home, progress)


def _test_preprocessing(crop: str, size: tuple[int, int]) -> Preprocessing:
    """What tests do to an image, by how the network is trained."""
    height, width = size
    zoomed = round(height * _TEST_ZOOM), round(width * _TEST_ZOOM)
    return Preprocessing("RGB", size, zoomed if crop == "resized_crop" else None)


def _resident(
    source: Source,
    recipe: DataRecipe,
    train: ImageSet,
    test: ImageSet,
    how: Preprocessing,
    window: PadCropFlip,
    normalization: Normalization | None,
    device: torch.device,
    progress: Progress | None,
) -> Data:
    skip = recipe.skip_unreadable
    train, pixels = decode(train, how, "training images", skip_unreadable=skip, progress=progress)
    test, test_pixels = decode(test, how, "test images", skip_unreadable=skip, progress=progress)
    warn_of_shared_images(map(_bytes, pixels), train.labels, map(_bytes, test_pixels), test.labels)
    normalization = normalization or measured(pixels)
    contents = _contents(train.labels, test.labels, _hash(pixels), _hash(test_pixels))
    return Data(
        name=source.name,
        classes=source.classes,
        image_shape=how.image_shape,
        mean=normalization.mean,
        std=normalization.std,
        preprocessing=how,
        num_train=len(train),
        num_test=len(test),
        _contents=lambda: contents,
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
    how: Preprocessing,
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
    normalization = normalization or (IMAGENET if how.mode == "RGB" else Normalization((0.5,), (0.5,)))
    transform = Transform(how, crop, window.padding, window.padding_mode, window.flip)
    return Data(
        name=source.name,
        classes=source.classes,
        image_shape=how.image_shape,
        mean=normalization.mean,
        std=normalization.std,
        preprocessing=how,
        num_train=len(train),
        num_test=len(test),
        _contents=lambda: _contents(train.labels, test.labels, _stored(train), _stored(test)),
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
    if recipe.size is not None:
        return recipe.size
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
    if padding > min(size):
        raise UnskipError(
            f"data.padding: {padding} pixels on each side of images of {min(size)} are too many; use less"
        )
    if recipe.padding_mode == "reflect" and padding >= min(size):
        raise UnskipError(f"data.padding: {padding} pixels cannot be reflected from images of {min(size)}; use less")
    flip = recipe.flip if recipe.flip is not None else recipe.name != "digits" and crop != "none"
    return PadCropFlip(padding, recipe.padding_mode, flip)


def _bytes(pixels: Pixels) -> bytes:
    return pixels.tobytes()


def _contents(train_labels: Rows, test_labels: Rows, train: str, test: str) -> dict[str, str]:
    labels = {"training labels": _hash(train_labels.astype("<i8")), "test labels": _hash(test_labels.astype("<i8"))}
    return {"training images": train, "test images": test, **labels}


def _hash(array: Rows | Pixels) -> str:
    digest = hashlib.sha256(f"{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _stored(images: ImageSet) -> str:
    """A hash of the places and the bytes of all images, read by several threads."""
    chunks = [range(start, min(start + _CHUNK, len(images))) for start in range(0, len(images), _CHUNK)]
    digest = hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for stamps in pool.map(lambda chunk: [images.stamp(index) for index in chunk], chunks):
            digest.update("".join(f"{stamp}\0" for stamp in stamps).encode())
    return digest.hexdigest()


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)
