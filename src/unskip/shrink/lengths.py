"""How long trainings are, so that all of them together take the time that there is: arithmetic, nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

REDUCTION = 3
"""A rung keeps one of so many."""

TRIAL_SHARE = 0.35
"""Of the time for training, what the trials of all rungs get; the winner gets the rest."""

FITTING_SHARE = 0.5
"""Where a network's blocks are fitted before its training, the most time that takes, as a share of the training's."""

FEWEST_STEPS = 20
"""Of any training."""

TRIAL_STEPS = 300
"""Of a trial where the time decides: shortcuts of a deep network are far from gone after a hundred."""

_MOST_IMAGES = 0.9  # so many must stay for one more epoch, which must be worth as much

Preset = Literal["quick", "good", "best"]


@dataclass(frozen=True)
class Effort:
    """What a preset stands for: how many candidates are tried, and for how long the winner is trained unless asked.

    That is ``epochs``, or as many as ``steps`` steps take where there are few images. For a device at most so many
    students are ``compiled``, of which the candidates are chosen.
    """

    candidates: int
    epochs: int
    steps: int
    compiled: int

    def winner(self, num_images: int, batch_size: int) -> Length:
        """The winner's training."""
        return Length(max(self.epochs, math.ceil(self.steps / max(1, num_images // batch_size))), 1.0)


PRESETS: dict[Preset, Effort] = {
    "quick": Effort(3, 4, 300, 10),
    "good": Effort(6, 15, 1500, 24),
    "best": Effort(12, 60, 6000, 48),
}


@dataclass(frozen=True)
class Length:
    """A training of whole ``epochs`` on a ``share``, up to 1, of every class's training images."""

    epochs: int
    share: float

    def __str__(self) -> str:
        """``3 epochs``, ``1 epoch of 40 % of the images``."""
        words = f"{self.epochs:,} epoch{'s' * (self.epochs != 1)}"
        return words if self.share == 1 else f"{words} of {100 * self.share:.2g} % of the images"

    def steps(self, num_images: int, batch_size: int) -> int:
        """The optimiser's steps, of so many training images."""
        return self.epochs * max(1, int(self.share * num_images) // batch_size)


def length_for(seconds: float, seconds_per_step: float, num_images: int, batch_size: int) -> Length:
    """The longest training that fits into the time: whole epochs, one more on most of the images, or one on a share.

    It has `FEWEST_STEPS` steps, up to the rounding to whole epochs, even where they do not fit.
    """
    steps = max(FEWEST_STEPS, math.floor(seconds / seconds_per_step))
    epochs = steps / max(1, num_images // batch_size)
    more = math.ceil(epochs)
    longer = Length(more, min(1.0, steps * batch_size / (more * num_images)))
    if more == 1:
        return longer
    whole = Length(more - 1 if epochs < more else more, 1.0)
    gained = longer.steps(num_images, batch_size) / whole.steps(num_images, batch_size)
    return longer if longer.share >= _MOST_IMAGES and gained > 1 / _MOST_IMAGES else whole


def rung_sizes(candidates: int) -> list[int]:
    """How many candidates are trained in each rung; a rung keeps a third, and the last one names the winner.

    None where there is nothing to choose.
    """
    sizes = []
    while candidates > 1:
        sizes.append(candidates)
        candidates = math.ceil(candidates / REDUCTION)
    return sizes


def num_tried(most: int, seconds: float, seconds_per_step: float) -> int:
    """How many of the candidates, which come in order, can be tried in the time for training.

    Every one must get `TRIAL_STEPS` in every rung; one alone is not tried at all.
    """
    for count in range(most, 1, -1):
        if TRIAL_SHARE * seconds / len(rung_sizes(count)) >= count * TRIAL_STEPS * seconds_per_step:
            return count
    return 1
