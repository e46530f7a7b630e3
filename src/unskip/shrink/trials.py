"""Successive halving: short trainings of many, longer ones of the best third of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from unskip.data import Data
from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.recipe_nets import requested_student
from unskip.records import Rung, Trial
from unskip.shrink.candidates import STUDENT, recipe_of
from unskip.shrink.lengths import Length
from unskip.shrink.on_target import OnTarget
from unskip.shrink.trainings import train_trial
from unskip.shrink.work import Work
from unskip.units import percent

_HELD_OUT, _MOST_HELD_OUT = 0.2, 2000  # a share of the training images, but no more, on which trials are scored


@dataclass
class TrialResult:
    """A trial with what its rungs gave; ``net`` is the last one's, None where it was not trained."""

    trial: Trial
    net: StagedNet | None = None
    rungs: tuple[Rung, ...] = ()
    dropped: str = ""

    @property
    def record(self) -> Trial:
        """All of it but the network."""
        return self.trial.model_copy(update={"rungs": self.rungs, "dropped": self.dropped})


class Trials:
    """The trials of a plan.

    ``scored_on`` says on which images they are scored: not on the test images, which are for the winner alone, unless
    no others can be held out. ``best`` is the one that gets the remaining time, ``step_seconds`` what a step of the
    last rung took.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tried = [TrialResult(trial) for trial in work.plan.trials]
        self._images = cache(self._held_out)
        scored_on, self._data = self._images(work.first_look.data.image_shape)
        self.scored_on = scored_on if work.plan.rungs else "test images"
        self.step_seconds = work.plan.step_seconds
        alive = list(self._tried)
        for number, size in enumerate(work.plan.rungs, 1):
            alive = self._kept(alive, size, number - 1)
            self._train(alive, number)
            alive.sort(key=lambda each: -each.rungs[-1].score)
        self.best = self._within_budget(self._kept(alive, 1, len(work.plan.rungs)))

    @property
    def records(self) -> tuple[Trial, ...]:
        """All trials."""
        return tuple(each.record for each in self._tried)

    def _held_out(self, input_shape: tuple[int, int, int]) -> tuple[str, Data]:
        """What trials are scored on, in words, and their images: the same ones of every size."""
        data, seed = self._work.first_look.data_of(input_shape), self._work.request.recipe.seed
        try:
            part = data.with_held_out(min(_HELD_OUT, _MOST_HELD_OUT / data.num_train), seed)
        except UnskipError:
            return "test images, since no training images can be held out", data
        return f"{part.num_test:,} training images that were held out", part

    def _kept(self, alive: Sequence[TrialResult], size: int, rung: int) -> list[TrialResult]:
        """The first ones; the others are dropped."""
        for each in alive[size:]:
            each.dropped = f"behind {alive[size - 1].trial.words} after rung {rung}"
        return list(alive[:size])

    def _train(self, alive: Sequence[TrialResult], number: int) -> None:
        """A rung: trainings of one length."""
        work, rungs = self._work, len(self._work.plan.rungs)
        length = work.rung_length(number, [each.trial for each in alive], self.step_seconds, self._data.num_train)
        work.say("training")
        work.print(f"rung {number} of {rungs}: {len(alive)} candidates, {length} each, scored on {self.scored_on}")
        self.step_seconds = max(self._trained(each, number, length) for each in alive)

    def _trained(self, tried: TrialResult, rung: int, length: Length) -> float:
        """One training; the seconds that a step took."""
        work, trial = self._work, tried.trial
        part = self._images(trial.input_shape)[1]
        if length.share < 1:
            part = part.with_training_share(length.share, work.request.recipe.seed)
        recipe = recipe_of(work.first_look.recipe, trial, length, self._data.num_train)
        file = work.folder.trial(trial.label, rung)
        trained = train_trial(
            trial.words, recipe, work.first_look.teacher, part, work.first_look.task, file, work.console
        )
        tried.net = trained.net
        used = recipe.methods[STUDENT]["method"]
        tried.rungs += (
            Rung(
                number=rung,
                method=None if used == trial.method else used,
                epochs=length.epochs,
                share=length.share,
                seconds=trained.seconds,
                score=trained.score,
            ),
        )
        work.print(f"  {trial.words}: {percent(trained.score)}, {trained.seconds:.0f} s")
        return trained.seconds / trained.steps

    def _within_budget(self, best: Sequence[TrialResult]) -> TrialResult:
        """The best that keeps the budget with the weights that it has now; the best, where none does."""
        work = self._work
        others = [each for each in self._tried if each not in best]
        order = [*best, *sorted(others, key=lambda each: (-len(each.rungs), -(each.record.score or 0)))]
        reasons: dict[int, str] = {}
        for each in order:
            exceeded = self._exceeded(each)
            if not exceeded:
                for other, reason in reasons.items():
                    order[other].dropped = reason
                each.dropped = ""
                return each
            words = " and of ".join(work.request.budget.limit_of(name) for name in exceeded)
            reasons[order.index(each)] = f"with trained weights it exceeds the limit of {words}"
        return order[0]

    def _exceeded(self, tried: TrialResult) -> list[str]:
        """The limits that it does not keep."""
        work = self._work
        net = tried.net
        if net is None:
            recipe = recipe_of(work.first_look.recipe, tried.trial, Length(1, 1.0), work.first_look.data.num_train)
            net = requested_student(recipe, work.first_look.data, work.first_look.teacher)
        teacher = work.folder.path / work.plan.teacher_file
        figures = OnTarget(work.request, work.say).costs_of_net(net, teacher, tried.trial.input_shape)
        most = work.request.budget.most
        return [name for name in most if name in figures and (figures[name].value or 0) > most[name]]
