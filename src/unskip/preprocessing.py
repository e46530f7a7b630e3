"""How an image becomes what a network takes: one code for tests and for devices, of Pillow and numpy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unskip.errors import UnskipError, first_line
from unskip.images import open_image, upright

Mode = Literal["L", "RGB"]

_FIXED = {"orientation": "exif", "interpolation": "bilinear", "antialias": True, "scale": 1 / 255}
"""What is the same for all networks, and stands in the metadata for who must write it anew."""


@dataclass(frozen=True)
class Preprocessing:
    """From an image to pixels: upright as its EXIF data says, in ``mode``, scaled bilinearly, cut out at the centre.

    ``size`` is the (height, width) of the result. With ``cover``, a (height, width), the whole image is scaled until it
    covers that, and the centre is cut out. Without it, the largest part at the centre with the result's shape is cut
    out, at fractions of a pixel, and scaled. Scaling down averages over all pixels (antialias), as Pillow does it.
    """

    mode: Mode
    size: tuple[int, int]
    cover: tuple[int, int] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the result."""
        return len(self.mode), *self.size

    def placed(self, image: Image.Image) -> Image.Image:
        """An upright image in ``mode``, scaled and cut to ``size``."""
        height, width = self.size
        if self.cover is None:
            if image.size == (width, height):
                return image
            return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        image = image.resize(_covering(image.size, self.cover), Image.Resampling.BILINEAR)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return image.crop((left, top, left + width, top + height))

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """An upright image in ``mode`` as uint8 (channels, height, width)."""
        return channels_first(self.placed(image))

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, with what is the same for all networks."""
        return {"mode": self.mode, "size": list(self.size), "cover": self.cover and list(self.cover), **_FIXED}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        """What :meth:`to_json` wrote; `ValueError` for anything else, `UnskipError` for what this version cannot do."""
        other = {name: data[name] for name, value in _FIXED.items() if data[name] != value}
        mode, size, cover = data["mode"], _sides(data["size"]), data["cover"] and _sides(data["cover"])
        if other or mode not in ("L", "RGB"):
            raise UnskipError(f"this version of unskip cannot prepare images with {other or {'mode': mode}}")
        if cover and (cover[0] < size[0] or cover[1] < size[1]):
            raise ValueError(f"{size} cannot be cut out of {cover}")
        return cls(mode, size, cover or None)


def prepare(image: Image.Image | str | Path, facts: Mapping[str, str]) -> NDArray[np.float32]:
    """An image exactly as a deployed file takes it, and as the file was measured: float32 (1, channels, height, width).

    ``facts`` are the file's metadata, see :func:`unskip.read_metadata`; ``image`` is a path or an image of Pillow's.
    Raises `UnskipError` for an image that cannot be read, and for metadata that do not say how.
    """
    try:
        how = Preprocessing.from_json(json.loads(facts["preprocessing"]))
        inside = facts["normalization"] == "inside"
        mean, std = ((0.0,), (1.0,)) if inside else (json.loads(facts[name]) for name in ("mean", "std"))
        scale, shift = scale_and_shift(mean, std)
    except UnskipError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnskipError(
            f"the metadata do not say how images are prepared ({error}); files that `unskip export` writes do, "
            "those of earlier versions can be exported again"
        ) from error
    try:
        with nullcontext(image) if isinstance(image, Image.Image) else open_image(Path(image)) as opened:
            opened.load()
            pixels = how.pixels(upright(opened, how.mode))
    except Exception as error:  # damaged files make Pillow raise almost anything
        raise UnskipError(f"cannot read the image {image}: {first_line(error)}") from error
    return pixels[None] * scale[:, None, None] + shift[:, None, None]


def scale_and_shift(mean: Sequence[float], std: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By channel what turns bytes into normalised values, ``pixel * scale + shift``; float32 (channels,) each."""
    means, stds = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return (1 / (255 * stds)).astype(np.float32), (-means / stds).astype(np.float32)


def channels_first(image: Image.Image) -> NDArray[np.uint8]:
    """An image in ``L`` or ``RGB`` as uint8 (channels, height, width)."""
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _covering(size: tuple[int, int], cover: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of an image of that ``size`` when it just covers (height, width), one side exactly."""
    width, height = size
    if cover[0] * width >= cover[1] * height:
        return cover[0] * width // height, cover[0]
    return cover[1], cover[1] * height // width


def _sides(values: Any) -> tuple[int, int]:
    height, width = values
    if not all(type(side) is int and 0 < side < 2**16 for side in (height, width)):
        raise ValueError(f"{values} is no height and width in pixels")
    return height, width
