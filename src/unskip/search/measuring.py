"""What files of students that nobody has trained yet give, measured beside the network's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from unskip.compare import Target, Workbench
from unskip.errors import UnskipError
from unskip.measures import limits
from unskip.nets import NetSpec
from unskip.records import Figure, Load, time_share
from unskip.search.students import Student
from unskip.surgery import Edit, build

__all__ = ["MAX_MEASURED", "FileFigures", "StudentBench", "measure_students", "share_used"]

MAX_MEASURED = 8
"""So many students are exported and measured at most."""


@dataclass(frozen=True)
class FileFigures:
    """What an exported file gave, by measure and by relative limit; ``refused`` says why there is none."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    refused: str = ""


class StudentBench:
    """Exports untrained students and measures them in a workbench of one setting, beside the network itself.

    ``own`` is what the network's file gave, ``runtime`` the runtime with its version, ``load`` how busy the machine
    was. Raises `UnskipError` when the network cannot be exported for that runtime.
    """

    def __init__(self, workbench: Workbench, spec: NetSpec, input_shape: tuple[int, int, int]) -> None:
        self._workbench = workbench
        self._spec = spec
        self._shape = input_shape
        self._network = self._target(str(spec), ())
        self._labels: dict[Hashable, str] = {}
        comparison = workbench.measure([self._network])
        self.runtime = comparison.groups[0].runtime
        self.load: Load = comparison.load
        cell = comparison.groups[0].cells[0]
        if cell.refused is not None:
            raise UnskipError(cell.refused)
        self.own = FileFigures(cell.figures | _relative(cell.figures, cell.figures))

    def measure(self, students: Sequence[Student]) -> dict[Hashable, FileFigures]:
        """Measure students together, by their structure."""
        for student in students:
            self._labels.setdefault(student.structure, f"student {len(self._labels) + 1}")
        targets = [self._target(self._labels[student.structure], student.edits) for student in students]
        first, *cells = self._workbench.measure([self._network, *targets]).groups[0].cells
        return {
            student.structure: FileFigures(refused=cell.refused)
            if cell.refused is not None
            else FileFigures(cell.figures | _relative(first.figures, cell.figures))
            for student, cell in zip(students, cells, strict=True)
        }

    def _target(self, label: str, edits: Sequence[Edit]) -> Target:
        spec = NetSpec(self._spec.source, self._spec.options, (*self._spec.edits, *edits))
        return Target(build(spec, seed=0), self._shape, label=label, kind="net")


def _relative(first: Mapping[str, Figure], this: Mapping[str, Figure]) -> dict[str, Figure]:
    """What relative limits are about: the parts of the first one's figures that this one has."""
    shares = {}
    for name, (measure, limit) in limits().items():
        own, other = (figures.get(measure.name, Figure()) for figures in (first, this))
        if limit.relative and own.samples and other.samples:
            share = time_share(own, other)
            shares[name] = Figure(value=share.median, low=share.low, high=share.high)
        elif limit.relative and own.value and other.value is not None:
            shares[name] = Figure(value=other.value / own.value)
    return shares


def share_used(figures: Mapping[str, Figure], most: Mapping[str, float]) -> tuple[float, float]:
    """The shares of the limits that the figures come to, the largest of them: at the low and the high end of spreads.

    A limit without a figure is left out; 0 without any.
    """
    ends = [
        [(figure.value if end is None else end) / limit for end in (figure.low, figure.high)]
        for name, limit in most.items()
        if (figure := figures.get(name, Figure())).value is not None
    ]
    return max((low for low, _ in ends), default=0.0), max((high for _, high in ends), default=0.0)


def measure_students(
    measure: Callable[[Sequence[Student]], dict[Hashable, FileFigures]],
    students: Sequence[Student],
    own: FileFigures,
    most: Mapping[str, float],
    macs: int,
) -> dict[Hashable, FileFigures]:
    """Measure `MAX_MEASURED` of the students: those that are first where ``most`` limits nothing that is measured.

    Otherwise a student's share of the limits is guessed from its MACs, of which the network has ``macs``, and what the
    network uses up: first come those nearest to the limit and the one with the fewest MACs; then, the guess corrected
    by the high end of what was measured, those with the most MACs that should be within for sure.
    """
    if not students:
        return {}
    if not most:
        return measure(students[:MAX_MEASURED])
    _, whole = share_used(own.figures, most)
    guess = {student: (whole or 1) * student.macs / macs for student in students}
    fewest = min(students, key=lambda student: student.macs)
    near = sorted((each for each in students if each != fewest), key=lambda student: abs(guess[student] - 1))
    first = [fewest, *_unlike(near)[: MAX_MEASURED // 2 - 1]]
    measured = measure(first)
    for grouped in (False, True):  # groups save less time than MACs
        used = {
            student: share_used(measured[student.structure].figures, most)[1]
            for student in first
            if (student.groups > 1) == grouped
        }
        off = [high / guess[student] for student, high in used.items() if high]
        for student in students:
            if off and (student.groups > 1) == grouped:
                guess[student] *= median(off)
    left = [student for student in students if student not in first]
    within = sorted((each for each in left if guess[each] <= 1), key=lambda student: -student.macs)
    beyond = sorted((each for each in left if guess[each] > 1), key=lambda student: guess[student])
    second = [*_unlike(within), *beyond][: MAX_MEASURED - len(first)]
    return measured | (measure(second) if second else {})


def _unlike(students: Sequence[Student]) -> list[Student]:
    """The students without those that differ from an earlier one only in which of the shortcuts are left."""
    first: dict[object, Student] = {}
    for student in students:
        first.setdefault((student.lean, student.groups, student.depth, student.shortcuts == 0), student)
    return list(first.values())
