"""What runs and benchmarks show, as facts that their pages and the terminal put into sentences.

A difference of two accuracies counts only when it exceeds two standard errors on the test images; otherwise it lies
within the noise of one run. Where the teacher or the best student is no better than guessing, nothing is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, sqrt

from unskip.chance import chance_limit, tells_chance
from unskip.records import Cell, Comparison, Group, Net, Run
from unskip.report.class_answers import changed_most
from unskip.report.table import compared, speedup_text
from unskip.units import signed_points, writer

COSTS = ("peak", "latency")
"""The measures that are said in a sentence and drawn against accuracy."""


class Verdict(StrEnum):
    """What a difference comes to."""

    BETTER = "better"
    WITHIN_NOISE = "within noise"
    WORSE = "worse"


@dataclass(frozen=True)
class Difference:
    """A score beside another one, both shares of right answers to ``images`` images; None where they are others."""

    score: float
    other: float
    images: int | None

    @property
    def value(self) -> float:
        """How much the first is above the other."""
        return self.score - self.other

    @property
    def noise(self) -> float:
        """Two standard errors, which errs towards caution: on the same images nets differ by less. 0 if unknown."""
        if self.images is None:
            return 0.0
        return 2 * sqrt((self.score * (1 - self.score) + self.other * (1 - self.other)) / self.images)

    @property
    def verdict(self) -> Verdict:
        """Whether it counts."""
        if abs(self.value) <= self.noise:
            return Verdict.WITHIN_NOISE
        return Verdict.BETTER if self.value > 0 else Verdict.WORSE


@dataclass(frozen=True)
class Pair:
    """The best student's figure beside the teacher's, as they are written, and how they compare.

    ``where`` is the operation at which so much is taken.
    """

    title: str
    student: str
    teacher: str
    unit: str
    comparison: str
    where: str | None


@dataclass(frozen=True)
class Findings:
    """The facts that decide, and what speaks against trust in them.

    ``student`` is the best one, ``baseline`` its twin that was trained without a teacher, if there is one. ``accuracy``
    is the student against the teacher, ``removal`` the baseline against the teacher, ``regained`` the student against
    the baseline; None where one of the two is at chance or missing. ``unclear`` are the nets that too few images cannot
    tell from chance, ``families`` those that come out of one training, ``diverged`` the trainings whose loss did not
    stay finite.
    """

    teacher: Net
    student: Net
    baseline: Net | None
    accuracy: Difference | None
    removal: Difference | None
    regained: Difference | None
    at_chance: tuple[Net, ...]
    unclear: tuple[Net, ...]
    families: tuple[tuple[Net, ...], ...]
    diverged: tuple[str, ...]

    @property
    def recovered(self) -> float | None:
        """What came back of what removal cost, as a share; None where nothing was lost or nothing came back."""
        if self.removal is None or self.regained is None:
            return None
        lost, back = self.removal.verdict is Verdict.WORSE, self.regained.verdict is Verdict.BETTER
        return -self.regained.value / self.removal.value if lost and back else None


def find(run: Run) -> Findings:
    """The facts of a run."""
    teacher, student, baseline = run.teacher, run.best_student, run.baseline
    at_chance = tuple(net for net in run.nets if run.is_at_chance(net))

    def difference(net: Net | None, other: Net | None) -> Difference | None:
        if net is None or other is None or {net, other, teacher, student} & set(at_chance):
            return None
        return Difference(run.score(net), run.score(other), run.data.num_test if run.data.classes else None)

    few = run.data.chance is not None and not tells_chance(run.data.num_test)
    limit = chance_limit(run.data.chance, run.data.num_test) if few and run.data.chance is not None else -1
    return Findings(
        teacher=teacher,
        student=student,
        baseline=baseline,
        accuracy=difference(student, teacher),
        removal=difference(baseline, teacher),
        regained=difference(student, baseline),
        at_chance=at_chance,
        unclear=tuple(net for net in run.nets if run.score(net) <= limit),
        families=tuple(tuple(nets) for nets in run.trainings.values() if len(nets) > 1),
        diverged=tuple(name for name, epochs in run.history.items() if not all(isfinite(e.loss) for e in epochs)),
    )


def pairs(run: Run, measures: Sequence[str]) -> list[Pair]:
    """The best student beside the teacher by these measures, as far as both were measured."""
    pairs = []
    memory, speedup = run.subject(run.best_student).memory, run.cell(run.best_student).speedup
    for name in measures:
        student, teacher = (run.figure(net, name) for net in (run.best_student, run.teacher))
        if student.value is None or teacher.value is None:
            continue
        about = run.comparison.measures[name]
        unit, write = writer(about.unit, [student.value, teacher.value])
        comparison = speedup_text(speedup) if student.samples and speedup else compared(student, teacher, about)
        where = memory.peak_at if memory and name == "peak" else None
        pairs.append(Pair(about.title, write(student.value), write(teacher.value), unit, comparison, where))
    return pairs


def worst_class(run: Run) -> list[Pair]:
    """The class that lost most, the best student's accuracy in it beside the teacher's; nothing where none lost."""
    lost = [each for each in changed_most(run.answers)[:1] if each.gain < 0] if run.answers else []
    return [
        Pair(
            f"Worst class: {each.name}",
            f"{100 * each.winner / each.images:.2f}",
            f"{100 * each.teacher / each.images:.2f}",
            "%",
            signed_points(each.gain),
            None,
        )
        for each in lost
    ]


def fastest(comparison: Comparison) -> tuple[Group, Cell] | None:
    """The file with the highest speed-up in the first setting that has one; without any, the first that was timed.

    None where nothing was.
    """
    timed = [(group, cell) for group in comparison.groups for cell in group.cells if "latency" in cell.figures]
    beside = [(group, cell) for group, cell in timed if cell.speedup is not None]
    first = [(group, cell) for group, cell in beside if group is beside[0][0]]
    first = first or timed[:1]
    return max(first, key=lambda pair: pair[1].speedup.median if pair[1].speedup else 0, default=None)
