"""The data section of a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from unskip.settings import Section

__all__ = ["LARGEST_SIDE", "SMALLEST_SIDE", "DataRecipe"]


def _image_size(value: Any) -> Any:
    """A side, or height and width; one sentence for anything else, where a union would give one for each member."""
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2 or not all(type(side) is int and SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(f"expected a side in pixels, from {SMALLEST_SIDE} to {LARGEST_SIDE}, or [height, width]")
    return value


SMALLEST_SIDE, LARGEST_SIDE = 4, 2**14  # pixels
ImageSize = Annotated[int | Annotated[tuple[int, int], Field(strict=False)], BeforeValidator(_image_size)]


class DataRecipe(Section):
    """Which images, how many of them, at which size, and how they are augmented."""

    name: Literal["digits", "cifar10", "cifar100", "image_folder", "images", "parquet"] = Field(
        "digits",
        description="where the images come from; images is a folder of them without classes, for `task: matching`",
    )
    path: str | None = Field(None, description="folder of the data; cifar10/cifar100 download into it when it is empty")
    image_size: ImageSize | None = Field(
        None,
        description="side in pixels, or `[height, width]`; by default the images' own if all are equal and at most "
        "64, otherwise what the teacher expects",
    )
    classes: int | None = Field(None, ge=2, le=2**31 - 1, description="use only this many classes, the first ones")
    limit: int | None = Field(
        None, ge=1, le=2**31 - 1, description="use at most this many training images, balanced over the classes"
    )
    fraction: float | None = Field(None, gt=0, le=1, description="use this share of every class's training images")
    test_limit: int | None = Field(
        None, ge=1, le=2**31 - 1, description="use at most this many test images, balanced over the classes"
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="share held out if the data has no test split of its own")
    augmentation: Literal["pad_crop", "resized_crop", "none"] | None = Field(
        None,
        description="random crop of the padded image, random resized crop, or nothing; by default by image size",
    )
    padding: int | None = Field(
        None, ge=0, le=16_384, description="pixels on each side for pad_crop; by default an eighth of the shorter side"
    )
    padding_mode: Literal["zeros", "reflect"] = Field(
        "zeros", description="fill the padding with black, or with the mirrored image"
    )
    flip: bool | None = Field(None, description="random horizontal flip; by default on, except for digits and none")
    image_column: str | None = Field(
        None, description="Parquet: the column of images; by default the only image column"
    )
    label_column: str | None = Field(
        None, description="Parquet: the column of labels; by default the only label column"
    )
    window_gib: float = Field(
        2.0,
        gt=0,
        le=2**20,
        description="Parquet: GiB of encoded images of a split that are in memory at once; a larger one is read by row "
        "groups and shuffled within windows",
    )
    workers: int = Field(2, ge=0, le=256, description="threads that read images too large to live on the device")
    keep_decoded: bool = Field(
        True,
        description="keep decoded large images in memory while a quarter of the memory is free",
    )
    skip_unreadable: bool = Field(False, description="leave out images that cannot be read instead of stopping")
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="seed of splits and subsets, which do not depend on the run's seed"
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in pixels, None where the images or the teacher decide."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    @property
    def folder(self) -> Path:
        """Where the images lie, or what is downloaded comes to: by default ``data`` in the working directory."""
        return Path(os.path.expanduser("data" if self.path is None else self.path))  # as it is for an unknown user

    @model_validator(mode="after")
    def _one_subset(self) -> DataRecipe:
        if self.limit is not None and self.fraction is not None:
            raise ValueError("give data.limit or data.fraction, not both")
        return self
