"""Decoding whole image sets with a pool of threads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from unskip.data.image_set import ImageSet, Rows
from unskip.errors import UnskipError
from unskip.preprocessing import Preprocessing

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many images are done, and how many there are."""

_CHUNK = 256


def decode(
    images: ImageSet, how: Preprocessing, kind: str, *, skip_unreadable: bool, progress: Progress | None
) -> tuple[ImageSet, Pixels]:
    """The images that could be read, and their pixels as tests see them: uint8 (images, channels, height, width).

    An image that cannot be read is an `UnskipError`, or with ``skip_unreadable`` left out with a warning.
    """
    pixels = np.empty((len(images), *how.image_shape), np.uint8)

    def put(index: int) -> None:
        pixels[index] = how.pixels(images.image(index))

    failures = _for_each(images, put, kind, skip_unreadable, progress)
    if not failures:
        return images, pixels
    kept = _left_out(images, failures, kind)
    return images.take(kept), pixels[kept]


def readable(images: ImageSet, kind: str, *, progress: Progress | None) -> ImageSet:
    """The images that can be decoded; the others are left out with a warning. Decodes all of them once."""
    failures = _for_each(images, lambda index: images.image(index), kind, True, progress)
    return images.take(_left_out(images, failures, kind)) if failures else images


def chunks(count: int) -> list[range]:
    """So many indices in pieces that a thread works on in one go."""
    return [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]


def _for_each(
    images: ImageSet, work: Callable[[int], object], kind: str, skip_unreadable: bool, progress: Progress | None
) -> dict[int, UnskipError]:
    """Call ``work`` with every index; the failures by index, when they may be skipped."""
    failures: dict[int, UnskipError] = {}

    def run(chunk: range) -> int:
        for index in chunk:
            try:
                work(index)
            except UnskipError as error:
                if not skip_unreadable:
                    raise
                failures[index] = error
        return chunk.stop

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(run, chunks(len(images))):
            if progress:
                progress(kind, done, len(images))
    return failures


def _left_out(images: ImageSet, failures: dict[int, UnskipError], kind: str) -> Rows:
    readable_rows = np.setdiff1d(np.arange(len(images)), list(failures))
    names = ", ".join(images.where(index) for index in sorted(failures)[:3])
    more = ", ..." if len(failures) > 3 else ""
    warnings.warn(f"left out {len(failures)} of {len(images)} {kind} that cannot be read: {names}{more}", stacklevel=5)
    if len(np.unique(images.labels[readable_rows])) < len(np.unique(images.labels)):
        raise UnskipError(f"no image of some class can be read among the {kind}; the first unreadable ones are {names}")
    return readable_rows
