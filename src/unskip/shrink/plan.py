"""What is known before any student is trained: the teacher, the candidates, and how long all of it will take."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from unskip.errors import UnskipError
from unskip.files import write_json
from unskip.measures import limits
from unskip.nets import StagedNet
from unskip.records import About, EightBits, Figure, Record, Teacher, Trial, WayOut
from unskip.search import Budget, BudgetAnswer, fit_budget
from unskip.shrink.candidates import FEWEST_FADED_STEPS, candidates_of, fitting_share, recipe_of, usable
from unskip.shrink.first_look import FirstLook
from unskip.shrink.lengths import FEWEST_STEPS, PRESETS, TRIAL_SHARE, Length, num_tried, rung_sizes
from unskip.shrink.on_target import OnTarget
from unskip.shrink.shrink_request import Request
from unskip.shrink.teacher_file import teacher_file
from unskip.shrink.trainings import seconds_per_step
from unskip.surgery import residual_blocks
from unskip.units import duration

Compiled = Callable[[int, int], None]
_MOST_TIMED = 2  # candidates whose steps are timed: the largest
_LOOKING_SHARE = 0.2  # of the time that is given, after which no more students are compiled
_IN_TIME = "device_ms"
SPARE = 0.97  # of the time that is given; the rest is for what nobody foresees


class Plan(Record):
    """The plan of a request, as its folder keeps it.

    ``inputs`` is a hash of what it was made from. ``teacher_file`` is the teacher's file for the target, ``eight_bits``
    what 8 bits cost it, where it has them. ``trials`` are those that the time allows, none where the teacher ``meets``
    the budget already or nothing does. ``step_seconds`` is what a step of the largest takes, ``end_seconds`` what comes
    after the winner's training, ``estimated_seconds`` all of it, from the first look to the report; ``total_seconds``
    is the time that there is, ``training_seconds`` the part of it for training. ``winner_epochs`` is what the winner
    can expect.
    """

    teacher: Teacher
    inputs: str
    chance: float | None
    teacher_file: str
    eight_bits: EightBits | None = None
    meets: bool
    trials: tuple[Trial, ...]
    ways_out: tuple[WayOut, ...] = ()
    num_usable: int
    measures: dict[str, About]
    step_seconds: float
    training_seconds: float
    end_seconds: float
    estimated_seconds: float
    total_seconds: float
    winner_epochs: int

    @property
    def rungs(self) -> list[int]:
        """How many trials each rung has."""
        return rung_sizes(len(self.trials))

    def save(self, file: Path) -> None:
        """Keep it."""
        write_json(file, self.model_dump(mode="json"))

    @classmethod
    def load(cls, file: Path) -> Plan:
        """What was kept; `UnskipError` for a file that does not hold it."""
        try:
            return cls.model_validate(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise UnskipError(f"{file} is damaged; delete {file.parent} to begin anew") from error


def make_plan(
    request: Request,
    first_look: FirstLook,
    folder: Path,
    *,
    seconds: Callable[[], float],
    say: Callable[[str], None],
    compiled: Compiled,
    kept: bool,
) -> Plan:
    """Look at the teacher's file on the target, at the students that meet the budget, and at how long training takes.

    The teacher's file is left in ``folder``; ``kept`` says that a call with more time goes on from there. ``seconds``
    says how long the work has lasted. Raises `UnskipError` where the time is too short for a single training.
    """
    recipe, data, task, teacher = first_look.recipe, first_look.data, first_look.task, first_look.teacher
    target = OnTarget(request, say)
    say("writing the teacher's file, and proving it")
    file = teacher_file(request, first_look, target, folder)
    costs = target.costs(folder / file.name, {})
    end_seconds = _end_seconds(request, file.seconds, first_look.evaluation_seconds)
    if request.seconds is not None and SPARE * request.seconds < seconds() + end_seconds:
        raise UnskipError(  # at once, since the search for students takes longest
            f"`time` {duration(request.seconds)} is too short: {duration(seconds())} went by with the teacher alone, "
            f"and what follows the training takes {duration(end_seconds)}; the search for students and their training "
            f"come between the two, so give several times {duration((seconds() + end_seconds) / SPARE)}"
        )
    looked_at = Teacher(
        score=first_look.score.value,
        shortcuts=len(residual_blocks(teacher)),
        weights=recipe.teacher.weights,
        input_shape=data.image_shape,
        figures={**costs.figures["teacher"], task.metric: Figure(value=file.score, images=first_look.score.images)},
    )
    meets = all(_keeps(looked_at.figures, name, most) for name, most in request.budget.most.items())
    effort = PRESETS[request.preset]
    answers = (
        [] if meets else _answers(request, first_look, looked_at.figures, Searching(request, seconds, say, compiled))
    )
    candidates = candidates_of(answers, teacher, effort.candidates) if answers else []
    measures = {name: about for answer in answers for name, about in answer.measures.items()} | dict(costs.measures)
    estimates = {
        "teacher": looked_at,
        "chance": first_look.score.chance,
        "teacher_file": file.name,
        "eight_bits": file.eight_bits,
        "meets": meets,
        "num_usable": sum(1 for _ in usable(answers)),
        "measures": measures,
        "inputs": first_look.inputs,
        "end_seconds": end_seconds,
    }
    if not candidates:
        return Plan(
            **estimates,
            trials=(),
            ways_out=_ways_out(answers[0]) if answers else (),
            step_seconds=0.0,
            training_seconds=0.0,
            winner_epochs=0,
            estimated_seconds=seconds(),
            total_seconds=seconds(),
        )
    say("taking a few training steps of the largest student, to know how long they take")
    largest = sorted(candidates, key=lambda trial: -(trial.figures["macs"].value or 0))[:_MOST_TIMED]
    began = seconds()
    per_epoch = max(1, data.num_train // recipe.training.batch_size)
    epochs = effort.winner(data.num_train, recipe.training.batch_size).epochs
    longest = Length(math.ceil(FEWEST_FADED_STEPS / per_epoch) if request.seconds else epochs, 1.0)
    times = [
        seconds_per_step(recipe_of(recipe, each, longest, data.num_train), teacher, data, task) for each in largest
    ]
    again = first_look.evaluation_seconds + seconds() - began
    step = max(times)
    few = FEWEST_STEPS if request.seconds else epochs * per_epoch
    with_fitting = step * (1 + fitting_share(candidates, few))
    total = request.seconds or _total(epochs * per_epoch * with_fitting, len(candidates), seconds() + end_seconds)
    seconds_left = SPARE * total - seconds() - end_seconds
    if seconds_left < FEWEST_STEPS * with_fitting:
        raise UnskipError(_too_short(total, seconds(), again, end_seconds, with_fitting, folder if kept else None))
    count = len(candidates) if request.seconds is None else num_tried(len(candidates), seconds_left, with_fitting)
    winner = seconds_left * (1 - TRIAL_SHARE if count > 1 else 1)
    of_winner = step * (1 + fitting_share(candidates[:count], int(winner / step)))
    return Plan(
        **estimates,
        trials=tuple(candidates[:count]),
        step_seconds=step,
        training_seconds=seconds_left,
        estimated_seconds=seconds() + seconds_left + end_seconds,
        total_seconds=total,
        winner_epochs=epochs if request.seconds is None else int(winner / of_winner / per_epoch),
    )


def _too_short(asked: float, passed: float, again: float, after: float, step: float, folder: Path | None) -> str:
    """Why a time is refused, and which is enough, in seconds.

    Of what has ``passed``, a call with more time does only ``again`` what is not kept in ``folder``; None: nothing is.
    """
    reasons = (
        f"`time` {duration(asked)} is too short: what comes before the training took {duration(passed)}, what comes "
        f"after it takes about {duration(after)}, and a step of training {step:.2g} s"
    )
    training = 2 * FEWEST_STEPS * step
    if folder is None:
        return f"{reasons}; give {duration((passed + after + training) / SPARE)} or more"
    enough = math.ceil((passed + again + after + training) / SPARE)
    minutes, rest = divmod(enough, 60)
    return (
        f"{reasons}; the {duration(passed)} are not lost: the same command with `time={minutes}m{rest:02d}s` or more "
        f"and `folder` {folder} goes on from there, and needs {duration(enough - passed)} more"
    )


def _end_seconds(request: Request, file_seconds: float, evaluation_seconds: float) -> float:
    """What follows the winner's training: its run's own files and answers, then its file for the target.

    For a device the run's files are of another format, which is written and proved in a fraction of the time.
    """
    files = 1.2 if request.device else 2.2
    return files * file_seconds + (3 if request.device else 4) * evaluation_seconds + 10


@dataclass(frozen=True)
class Searching:
    """Finds the students of a network that meet a request's budget, in a share of its time."""

    request: Request
    seconds: Callable[[], float]
    say: Callable[[str], None]
    compiled: Compiled

    def __call__(self, net: StagedNet, input_shape: tuple[int, int, int], budget: Budget | None = None) -> BudgetAnswer:
        """With images of a size; ``budget`` is by default the request's."""
        request = self.request
        return fit_budget(
            net,
            input_shape,
            budget or request.budget,
            limit=None,
            latency=request.times_files,
            runtime=request.runtime,
            threads=request.threads,
            device=request.device,
            compiles=request.compiles or PRESETS[request.preset].compiled,
            progress=self.say,
            compiled=self.compiled,
            recipes=False,
            until=lambda: request.seconds is not None and self.seconds() > _LOOKING_SHARE * request.seconds,
        )


def _answers(
    request: Request, first_look: FirstLook, teacher: Mapping[str, Figure], search: Searching
) -> list[BudgetAnswer]:
    """The students with images of the teacher's size, then those with images of every other size that may be taken."""
    channels, *_ = first_look.data.image_shape
    absolute = _absolute(request.budget, teacher) if request.image_sizes else None
    others = [search(first_look.teacher, (channels, *size), absolute) for size in request.image_sizes]
    return [first_look.answer or search(first_look.teacher, first_look.data.image_shape), *others]


def _absolute(budget: Budget, teacher: Mapping[str, Figure]) -> Budget:
    """The budget for images of another size: limits that are relative to the teacher as what they come to."""
    limit_of = limits()
    absolute = dict(budget.limits)
    for name in budget.limits:
        measure, limit = limit_of[name]
        if limit.relative:
            of_same = (
                other for other, (each, its) in limit_of.items() if each.name == measure.name and not its.relative
            )
            other = next(of_same, _IN_TIME)  # cycles are limited by the time that they take
            del absolute[name]
            absolute[other] = budget.most[limit.name] * (teacher[limit_of[other][0].name].value or 0)
    return Budget(absolute, budget.element)


def _total(winner_seconds: float, candidates: int, around: float) -> float:
    """The time that a preset's trials and winner take, where none is asked for."""
    share = 1 - TRIAL_SHARE if candidates > 1 else 1
    return (around + winner_seconds / share) / SPARE


def _keeps(figures: dict[str, Figure], name: str, most: float) -> bool:
    value = figures.get(name, Figure()).value
    return value is not None and value <= most


def _ways_out(answer: BudgetAnswer) -> tuple[WayOut, ...]:
    """What would meet a budget that nothing meets, and what comes nearest to it."""
    would = [
        WayOut(words=f"{each.words}: {each.student}", figures=dict(each.figures), meets=True)
        for each in answer.would_meet
    ]
    near = [
        WayOut(words=f"{candidate.student} (nearest to {words})", figures=dict(candidate.figures), meets=False)
        for words, candidate in answer.near
    ]
    return (*would, *near)
