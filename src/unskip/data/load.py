"""`load_data`: from a recipe's data section to batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from unskip.data.augment import PadCropFlip
from unskip.data.batches import Images
from unskip.data.data import Data
from unskip.data.decode import Pixels, Progress, decode, readable
from unskip.data.deferred import DeferredImages
from unskip.data.image_set import ImageSet, Listing
from unskip.data.leaks import warn_of_shared_images
from unskip.data.normalize import Normalization
from unskip.data.resident import ResidentImages
from unskip.data.row_groups import RowGroupSet
from unskip.data.sources import read_source
from unskip.data.subsets import balanced_share, balanced_subset
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing
from unskip.recipe import DataRecipe

_LARGEST_RESIDENT = 64  # pixels; larger images are streamed
_LARGE_SIZE = 224  # pixels; what images of different sizes are brought to
_TEST_ZOOM = 256 / 224  # of nets trained with random resized crops: their tests cut the image's border away


def load_data(
    recipe: DataRecipe,
    *,
    labelled: bool = True,
    device: str | torch.device | None = None,
    default_size: int = _LARGE_SIZE,
    normalization: Normalization | None = None,
    preprocessing: Preprocessing | None = None,
    progress: Progress | None = None,
    to_train: bool = True,
) -> Data:
    """Read the images that a recipe names; those that need not be ``labelled`` come without classes.

    Images of at most 64 pixels are decoded once and kept on ``device`` (by default the best there is); larger ones are
    read by threads when they are needed, and kept in memory as they were decoded while it lasts. ``default_size`` is
    the side in pixels of images that have no common size of at most 64, where the recipe names none. ``progress`` is
    called with what is being decoded, how many images are done, and how many there are. ``normalization`` and
    ``preprocessing`` are those of a network trained before, whatever the recipe says; by default the images are
    normalised by the training images, or as ImageNet's if streamed. Where nobody is going ``to_train``, training images
    are decoded when somebody asks for them.
    `UnskipError` when the images cannot be used, naming the folder or file.
    """
    source = read_source(recipe, labelled=labelled)
    if recipe.limit is not None and recipe.limit < len(source.classes):
        raise UnskipError(
            f"data.limit: {recipe.limit} images cannot cover the {len(source.classes)} classes of {source.name}"
        )
    sets = (
        _subset(source.train, recipe.limit, recipe.fraction, recipe.seed),
        _subset(source.test, recipe.test_limit, None, recipe.seed),
    )
    size = preprocessing.size if preprocessing else _size(recipe, sets, default_size)
    crop = recipe.augmentation or ("pad_crop" if max(size) <= _LARGEST_RESIDENT else "resized_crop")
    window = _window(recipe, crop, size)
    how = replace(preprocessing or _test_preprocessing(crop, size), mode=sets[0].mode)
    home = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if max(size) <= _LARGEST_RESIDENT and crop != "resized_crop":
        train, test = _resident(*sets, how, window, home, recipe, progress, to_train=to_train)
    else:
        from unskip.data.streamed import StreamedImages, Transform

        read = _readable(*sets, recipe, progress)
        train, test = (
            StreamedImages(images, Transform(how, crop, window), home, recipe.workers, recipe.keep_decoded)
            for images in read
        )
    return Data(source.name, source.classes, how, normalization or train.normalization(), train, test)


def _resident(
    train: ImageSet,
    test: ImageSet,
    how: Preprocessing,
    window: PadCropFlip,
    device: torch.device,
    recipe: DataRecipe,
    progress: Progress | None,
    *,
    to_train: bool,
) -> tuple[Images, Images]:
    read = partial(decode, how=how, skip_unreadable=recipe.skip_unreadable, progress=progress)
    if not to_train and not recipe.skip_unreadable:  # then it is known which training images there are

        def decoded() -> Images:
            return ResidentImages(read(train, kind="training images")[1], train.labels, device, window)

        _, test_pixels = read(test, kind="test images")
        return DeferredImages(train.labels, decoded), ResidentImages(test_pixels, test.labels, device)
    train, pixels = read(train, kind="training images")
    test, test_pixels = read(test, kind="test images")
    warn_of_shared_images(map(_bytes, pixels), train.labels, map(_bytes, test_pixels), test.labels)
    return ResidentImages(pixels, train.labels, device, window), ResidentImages(test_pixels, test.labels, device)


def _readable(
    train: ImageSet, test: ImageSet, recipe: DataRecipe, progress: Progress | None
) -> tuple[ImageSet, ImageSet]:
    """What will be streamed, without what cannot be read where that may be left out."""
    if recipe.skip_unreadable:
        train = readable(train, "training images", progress=progress)
        test = readable(test, "test images", progress=progress)
    # Files, and row groups that do not fit, are not read before they are needed.
    if isinstance(train, RowGroupSet) and isinstance(test, RowGroupSet) and train.groups.fits and test.groups.fits:
        warn_of_shared_images(train.contents(), train.labels, test.contents(), test.labels)
    return train, test


def _subset(listing: Listing, limit: int | None, fraction: float | None, seed: int) -> ImageSet:
    if limit is not None:
        return listing.take(balanced_subset(listing.labels, limit, seed))
    if fraction is not None:
        return listing.take(balanced_share(listing.labels, fraction, seed))
    return listing.take(np.arange(len(listing.labels)))


def _test_preprocessing(crop: str, size: tuple[int, int]) -> Preprocessing:
    """What tests do to an image, by how the network is trained."""
    height, width = size
    zoomed = round(height * _TEST_ZOOM), round(width * _TEST_ZOOM)
    return Preprocessing("RGB", size, zoomed if crop == "resized_crop" else None)


def _size(recipe: DataRecipe, sets: tuple[ImageSet, ImageSet], default: int) -> tuple[int, int]:
    """(height, width) of what the networks see."""
    if recipe.size is not None:
        return recipe.size
    common: tuple[int, int] | None = None
    for images in sets:
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
