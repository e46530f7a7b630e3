"""The latency of students that nobody has trained yet, measured beside their teacher."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import median

from unskip.compare import Settings, Target, Workbench
from unskip.errors import UnskipError
from unskip.nets import NetSpec
from unskip.records import Cell, Figure, Group, TimeShare
from unskip.search.budget import Budget
from unskip.search.students import Student
from unskip.surgery import Edit, build

__all__ = ["MAX_TIMED", "Stopwatch", "Timed", "time_students"]

MAX_TIMED = 8
"""So many students are exported and timed at most."""


@dataclass(frozen=True)
class Timed:
    """A student's exported file; ``ratio`` is its part of the teacher's time. ``failure`` says why there is none."""

    latency: Figure | None = None
    ratio: TimeShare | None = None
    file_bytes: int | None = None
    failure: str = ""


class Stopwatch:
    """Exports untrained networks to a folder that goes with it, and times them in one runtime beside the teacher.

    ``teacher`` is what the teacher's own file gave, with the ratio 1. Raises `UnskipError` when the teacher cannot be
    exported to the runtime's format.
    """

    def __init__(
        self,
        spec: NetSpec,
        input_shape: tuple[int, int, int],
        *,
        runtime: str,
        threads: int,
        progress: Callable[[str], None] = lambda said: None,
    ) -> None:
        self._spec = spec
        self._shape = input_shape
        self._workbench = Workbench(Settings((runtime,), (threads,), quick=True), say=progress)
        try:
            self._own = self._target("the network", ())
            group = self._workbench.measure([self._own]).groups[0]
            if group.cells[0].refused is not None:
                raise UnskipError(group.cells[0].refused)
            self.runtime = group.runtime
            self.teacher = _timed(group, group.cells[0])
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Stopwatch:
        return self

    def __exit__(self, *error: object) -> None:
        self._workbench.__exit__()

    def time(self, students: Sequence[Student]) -> dict[Hashable, Timed]:
        """Export students and time them together, by their structure.

        One that cannot be exported has a failure in the place of figures.
        """
        targets = [self._target(f"{student} {student.structure}", student.edits) for student in students]
        group = self._workbench.measure([self._own, *targets]).groups[0]
        cells = zip(students, group.cells[1:], strict=True)
        return {student.structure: _timed(group, cell) for student, cell in cells}

    def _target(self, label: str, edits: Sequence[Edit]) -> Target:
        spec = NetSpec(self._spec.source, self._spec.options, (*self._spec.edits, *edits))
        return Target(label, "net", self._shape, build(spec, seed=0).eval())


def _timed(group: Group, cell: Cell) -> Timed:
    if cell.refused is not None:
        return Timed(failure=cell.refused)
    file_bytes = cell.figures["file_bytes"].value
    assert file_bytes is not None
    return Timed(cell.figures["latency"], group.time_share(cell.subject), round(file_bytes))


def time_students(watch: Stopwatch, students: Sequence[Student], budget: Budget, macs: int) -> dict[Hashable, Timed]:
    """Time `MAX_TIMED` of the students, those that are first without a limit of latency.

    With one, a student's ratio is guessed from its MACs, of which the teacher has ``macs``: first come those nearest to
    the limit and the one with the fewest MACs; then, the guess corrected by the slow end of what was measured, those
    with the most MACs that should be fast enough for sure.
    """
    target = _target(budget, watch)
    if target is None or not students:
        return watch.time(students[:MAX_TIMED]) if students else {}
    guess = {student: student.macs / macs for student in students}
    fewest = min(students, key=lambda student: student.macs)
    near = sorted((s for s in students if s != fewest), key=lambda student: abs(guess[student] - target))
    first = [fewest, *_unlike(near)[: MAX_TIMED // 2 - 1]]
    found = watch.time(first)
    for grouped in (False, True):  # groups save less time than MACs
        alike = [student for student in first if (student.groups > 1) == grouped]
        off = [ratio.high / guess[student] for student in alike if (ratio := found[student.structure].ratio)]
        for student in students:
            if off and (student.groups > 1) == grouped:
                guess[student] *= median(off)
    left = [student for student in students if student not in first]
    fast = sorted((s for s in left if guess[s] <= target), key=lambda student: -student.macs)
    slow = sorted((s for s in left if guess[s] > target), key=lambda student: guess[student])
    second = [*_unlike(fast), *slow][: MAX_TIMED - len(first)]
    return found | (watch.time(second) if second else {})


def _target(budget: Budget, watch: Stopwatch) -> float | None:
    """The ratio to the teacher's latency that the budget comes to."""
    assert watch.teacher.latency is not None
    limits = [] if budget.latency_ratio is None else [budget.latency_ratio]
    if budget.latency_ms is not None:
        assert watch.teacher.latency.value is not None
        limits.append(budget.latency_ms / watch.teacher.latency.value)
    return min(limits, default=None)


def _unlike(students: Sequence[Student]) -> list[Student]:
    """The students without those that differ from an earlier one only in which of the shortcuts are left."""
    first: dict[object, Student] = {}
    for student in students:
        first.setdefault((student.lean, student.groups, student.depth, student.shortcuts == 0), student)
    return list(first.values())
