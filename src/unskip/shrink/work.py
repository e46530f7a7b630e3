"""What all steps of a shrink know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from unskip.methods.fit_kd import FitKD
from unskip.records import Trial
from unskip.shrink.candidates import fitting_share
from unskip.shrink.first_look import FirstLook
from unskip.shrink.folder import Clock, ShrinkFolder
from unskip.shrink.lengths import PRESETS, TRIAL_SHARE, Length, length_for
from unskip.shrink.plan import SPARE, Plan
from unskip.shrink.shrink_request import Request


@dataclass(frozen=True)
class Work:
    """The request, what was found of it, and where the work is kept; ``say`` is told what is being done."""

    request: Request
    folder: ShrinkFolder
    clock: Clock
    first_look: FirstLook
    plan: Plan
    console: Console
    say: Callable[[str], None]

    def rung_length(self, number: int, trials: Sequence[Trial], step_seconds: float, num_images: int) -> Length:
        """How long each of a rung's trainings is, on so many images, where a step takes so long."""
        rungs = len(self.plan.rungs)
        if self.request.seconds is None:  # as it was planned, whatever this machine is doing meanwhile
            seconds, step_seconds = TRIAL_SHARE / rungs * self.plan.training_seconds, self.plan.step_seconds
        else:
            seconds = TRIAL_SHARE / rungs / (1 - TRIAL_SHARE * (number - 1) / rungs) * self._seconds_left
        batch = self.first_look.recipe.training.batch_size

        def chosen() -> Length:
            length = length_for(seconds / len(trials), step_seconds, num_images, batch)
            share = fitting_share(trials, length.steps(num_images, batch))
            return length_for(seconds / len(trials) / (1 + share), step_seconds, num_images, batch)

        return self.folder.length(f"rung {number}", chosen)

    def winner_length(self, trial: Trial, besides: float, step_seconds: float) -> Length:
        """How long the winner's training is, where so many seconds go to other things than its steps and fitting."""
        data, batch = self.first_look.data, self.first_look.recipe.training.batch_size

        def chosen() -> Length:
            if self.request.seconds is None:
                return PRESETS[self.request.preset].winner(data.num_train, batch)
            left = self._seconds_left - besides
            length = length_for(left, step_seconds, data.num_train, batch)
            share = fitting_share([trial], length.steps(data.num_train, batch))
            if not share:
                return length
            length = length_for(left / (1 + share), step_seconds, data.num_train, batch)
            # Before a long training, blocks are fitted for less than that share.
            fitting = FitKD().images_to_prepare(data.num_train) / batch * step_seconds
            longer = length_for(left - fitting, step_seconds, data.num_train, batch)
            return max(length, longer, key=lambda each: each.steps(data.num_train, batch))

        return self.folder.length("winner", chosen)

    @property
    def _seconds_left(self) -> float:
        """For training, without what comes after it."""
        return SPARE * self.plan.total_seconds - self.clock.seconds - self.plan.end_seconds

    def print(self, text: str) -> None:
        """A line for the reader."""
        self.console.print(text, highlight=False)
