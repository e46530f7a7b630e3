"""Images that can be opened one by one, wherever they are stored."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from unskip.errors import UnskipError, first_line
from unskip.images import open_image, shown, upright, upright_size

Rows = np.ndarray[Any, np.dtype[np.int64]]


class Listing(Protocol):
    """Images of which the labels are known; ``take`` reads what opening some of them needs."""

    @property
    def labels(self) -> Rows:
        """(images,) class indices."""

    def take(self, rows: Rows) -> ImageSet:
        """The images at these rows, in this order."""


@dataclass(frozen=True)
class Part:
    """Some rows of a listing, nothing read yet."""

    whole: Listing
    rows: Rows

    @property
    def labels(self) -> Rows:
        """(images,) class indices."""
        return self.whole.labels[self.rows]

    def take(self, rows: Rows) -> ImageSet:
        """The images at these rows of the part, in this order."""
        return self.whole.take(self.rows[rows])


@dataclass(frozen=True)
class ImageSet(ABC):
    """Labelled images; a `Listing` of itself. ``labels``: (images,) class indices."""

    labels: Rows

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def mode(self) -> Literal["L", "RGB"]:
        """Pillow's name for what every image is converted to: one grey channel, or three colours."""
        return "RGB"

    @abstractmethod
    def take(self, rows: Rows) -> ImageSet:
        """The images at these rows, in this order."""

    @abstractmethod
    def where(self, index: int) -> str:
        """The image's place in words, for messages."""

    def shuffled(self, random: np.random.Generator, batch_size: int) -> Rows:
        """All rows in an epoch's order, drawn for batches of that size: a permutation where nothing else is faster."""
        return random.permutation(len(self))

    def stamp(self, index: int) -> str:
        """What identifies the stored image without decoding it: its relative place and a hash of its bytes."""
        try:
            return f"{self._place(index)} {hashlib.sha256(self._stored(index)).hexdigest()}"
        except (OSError, ValueError) as error:
            raise self._unreadable(index, error) from error

    @abstractmethod
    def _place(self, index: int) -> str: ...

    @abstractmethod
    def _stored(self, index: int) -> bytes: ...

    @abstractmethod
    def _open(self, index: int) -> Image.Image: ...

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) once turned upright, read from the image's header."""
        try:
            with self._open(index) as image:
                return upright_size(image)
        except Exception as error:
            raise self._unreadable(index, error) from error

    def image(self, index: int) -> Image.Image:
        """The decoded image, turned upright as its EXIF data says, in this set's `mode`."""
        try:
            with self._open(index) as image:
                image.load()
                return upright(image, self.mode)
        except Exception as error:  # damaged files make Pillow raise almost anything
            raise self._unreadable(index, error) from error

    def _unreadable(self, index: int, error: Exception) -> UnskipError:
        return UnskipError(
            f"cannot read the image {self.where(index)}: {first_line(error)}; replace or remove it, "
            f"or set data.skip_unreadable: true"
        )


@dataclass(frozen=True)
class ArraySet(ImageSet):
    """Images in memory. ``pixels``: uint8 (images, height, width), or (..., 3) for colour."""

    name: str
    pixels: np.ndarray[Any, np.dtype[np.uint8]]

    @property
    def mode(self) -> Literal["L", "RGB"]:
        """``L`` for arrays without a channel axis."""
        return "L" if self.pixels.ndim == 3 else "RGB"

    def take(self, rows: Rows) -> ArraySet:
        """A copy of these rows."""
        return ArraySet(self.labels[rows], self.name, self.pixels[rows])

    def where(self, index: int) -> str:
        """The set's name and the image's place in it."""
        return f"{index} of {self.name}"

    def _place(self, index: int) -> str:
        return self.name

    def _stored(self, index: int) -> bytes:
        return self.pixels[index].tobytes()

    def _open(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


@dataclass(frozen=True)
class FileSet(ImageSet):
    """Image files under one folder. ``files``: their paths relative to it."""

    folder: Path
    files: Sequence[str]

    def take(self, rows: Rows) -> FileSet:
        """The files at these rows."""
        return FileSet(self.labels[rows], self.folder, [self.files[row] for row in rows])

    def where(self, index: int) -> str:
        """The file's path."""
        return shown(self.folder / self.files[index])

    def _place(self, index: int) -> str:
        return shown(Path(self.files[index]).as_posix())

    def _stored(self, index: int) -> bytes:
        return (self.folder / self.files[index]).read_bytes()

    def _open(self, index: int) -> Image.Image:
        return open_image(self.folder / self.files[index])
