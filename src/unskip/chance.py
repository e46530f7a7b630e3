"""What an answer without a look at the image is worth, and whether an accuracy can be told from that."""

from __future__ import annotations

import math

_ENOUGH = 100  # test images: with fewer, networks that learned something fall below the limit too
_STANDARD_ERRORS = 3


def tells_chance(images: int) -> bool:
    """Whether so many test images are enough to tell an accuracy from chance."""
    return images >= _ENOUGH


def chance_limit(chance: float, images: int) -> float:
    """The highest accuracy, as a share, that guessing gives: ``chance`` and three standard errors of it.

    ``chance`` is the share of the most frequent class, which a network reaches that names it always.
    """
    return chance + _STANDARD_ERRORS * math.sqrt(chance * (1 - chance) / images)


def is_at_chance(top1: float, chance: float, images: int) -> bool:
    """Whether an accuracy on so many test images is no better than guessing; never for fewer than 100 of them."""
    return tells_chance(images) and top1 <= chance_limit(chance, images)
