"""Photographs that were decoded once, kept for later epochs while the machine has memory for them."""

from __future__ import annotations

from unskip.data.decode import Pixels
from unskip.machine_memory import room

_FREE = 0.25  # of the memory, which stays free
_BETWEEN_LOOKS = 64  # images that are kept between two looks at it


class KeptPixels:
    """Decoded images by row, uint8 (height, width) or (height, width, 3), as many as there is room for.

    A quarter of the memory, of the machine and of each limit around this process, stays free; where that cannot be
    told, nothing is kept. Several threads may use it. ``passes``: over the images, that were begun.
    """

    def __init__(self) -> None:
        self.passes = 0
        self._images: dict[int, Pixels] = {}
        self._looks_in = 0
        self._is_full = False

    def __len__(self) -> int:
        return len(self._images)

    def get(self, row: int) -> Pixels | None:
        """The image at a row, if it was kept; not to be written to."""
        return self._images.get(row)

    def put(self, row: int, pixels: Pixels) -> None:
        """Keep an image, if there is room."""
        if self._looks_in <= 0:
            self._is_full, self._looks_in = room(_FREE) <= 0, _BETWEEN_LOOKS
        self._looks_in -= 1
        if not self._is_full:
            self._images[row] = pixels
