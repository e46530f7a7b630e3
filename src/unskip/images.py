"""Opening image files: which formats are read, and how what they hold becomes upright pixels of 8 bits."""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Formats that hold pixels, and that Pillow decodes by itself. Others are not opened, whatever a file is called: Pillow
# gives PostScript to another program. HEIF is there once a plugin of Pillow's is registered.
_IDENTIFIED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "AVIF", "HEIF", "JPEG2000", "QOI")
_BY_ENDING = ("PCX", "TGA")  # their first bytes say too little to tell them from other files
_DECLARED_16_BITS = ("PNG", "PPM")  # formats whose integers Pillow scales to 0..65535
_LYING = (5, 6, 7, 8)  # EXIF orientations that change height and width
_ROUNDING = 0.5 / 255  # how far floats may lie outside of 0..1


@functools.cache
def image_endings() -> frozenset[str]:
    """Endings of file names, in lower case and with their dot, that stand for a format that is read."""
    formats = {*_formats(*_IDENTIFIED, *_BY_ENDING), "MPO"}  # several JPEGs in one file
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


def is_image(path: Path) -> bool:
    """Whether a file begins as an image does, whatever its name is. A damaged header is no image's."""
    try:
        with path.open("rb") as file, Image.open(file, formats=_formats(*_IDENTIFIED)):
            return True
    except Image.DecompressionBombError:
        return True  # reading it fails later, with its name
    except Exception:  # Pillow raises almost anything
        return False


def shown(path: str | Path) -> str:
    """A path, or a name from a file, as text that can be written anywhere: they may hold what is not UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def open_image(source: Path | BinaryIO) -> Image.Image:
    """Open an image without decoding it. `ValueError` saying what was found, or what Pillow raises."""
    if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):  # pipes and devices have no end
        raise ValueError("it is no regular file")
    try:
        return Image.open(source, formats=_formats(*_IDENTIFIED, *_BY_ENDING))
    except Image.DecompressionBombError as error:
        raise ValueError("it claims more pixels than any photograph has") from error
    except UnidentifiedImageError as error:  # Pillow's own message shows where a buffer lies in memory
        if _size_in_bytes(source) == 0:
            raise ValueError("it is empty") from error
        raise ValueError("it is damaged, or in no format that is read") from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an opened image once it is turned as its EXIF data says, from its header."""
    width, height = image.size
    if image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in _LYING:  # Pillow turns TIFF itself
        return width, height
    return height, width


def upright(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """A decoded image, turned as its EXIF data says, in one grey channel (``L``) or three colours (``RGB``).

    Colours are those stored: transparency is dropped. Greys of more than 8 bits are scaled by the range that their
    format declares, never by the values in one image, so that a dark image stays dark. Integers of 32 bits are those
    of 16 bits, and floats lie in 0..1; `ValueError` for other values.
    """
    if image.mode == "L" and _tiff_tag(image, "SampleFormat") == 2:
        raise ValueError("it holds signed bytes; save it with bytes from 0 to 255")
    deep = image.mode.startswith("I") or image.mode == "F"
    image = ImageOps.exif_transpose(_of_8_bits(image) if deep else image)
    if image.mode == mode:
        return image
    if image.mode in ("La", "RGBa"):  # colours multiplied by their opacity
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode in ("LAB", "HSV", "CMYK", "YCbCr") and mode == "L":
        image = image.convert("RGB")
    return image.convert(mode)


def _of_8_bits(image: Image.Image) -> Image.Image:
    """A deep grey image in mode ``L``, with its EXIF data."""
    values = np.asarray(image)
    if image.mode == "F":
        grey = _floats(values)
    elif image.mode == "I" and image.format not in _DECLARED_16_BITS:
        grey = _integers(values)
    else:
        bits = _tiff_tag(image, "BitsPerSample")  # only TIFF has fewer than 16, and Pillow leaves them as they are
        grey = values.astype(np.int64) >> ((16 if bits is None else bits) - 8)
    if _tiff_tag(image, "PhotometricInterpretation") == 0:  # white is zero, which Pillow heeds for 8 bits only
        grey = 255 - grey
    result = Image.fromarray(grey.astype(np.uint8))
    result.info = image.info
    result.getexif().update(image.getexif())
    return result


def _floats(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if not np.isfinite(values).all():
        raise ValueError("it holds floats that are not finite; save it with values from 0 to 1, or in 8 or 16 bits")
    if values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        raise ValueError(
            f"it holds floats from {values.min():g} to {values.max():g}, and only floats from 0 to 1 say which are "
            f"black and white; save all images with values from 0 to 1, or in 8 or 16 bits"
        )
    return np.rint(values.clip(0, 1) * 255)


def _integers(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.min() < 0 or values.max() > 65535 or 0 < values.max() < 256:
        raise ValueError(
            f"it holds 32-bit integers from {values.min()} to {values.max()}, and which is white is not known; "
            f"save all images in 8 or 16 bits"
        )
    return values >> 8


def _tiff_tag(image: Image.Image, name: str) -> int | None:
    """A TIFF tag's value, that of the first channel; None for other formats."""
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return None
    value = tags.get(ExifTags.Base[name])
    return value[0] if isinstance(value, tuple) else value


@functools.cache
def _formats(*names: str) -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in names if name in Image.OPEN)


def _size_in_bytes(source: Path | BinaryIO) -> int:
    return source.stat().st_size if isinstance(source, Path) else source.seek(0, os.SEEK_END)
