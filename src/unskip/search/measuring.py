"""What files of students that nobody has trained yet give, measured beside the network's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import median

from unskip.compare import Target, Workbench
from unskip.errors import UnskipError
from unskip.measures import Measure, limits
from unskip.measures.base import Limit
from unskip.nets import NetSpec
from unskip.records import About, Cell, Figure, time_share
from unskip.search.student import Student
from unskip.surgery import Edit, build

MAX_MEASURED = 8
"""So many students are exported and measured at most."""


class StudentBench:
    """Exports untrained students and measures them in a workbench of one setting, beside the network itself.

    Cells have figures by measure and by relative limit. ``own`` is that of the network, ``runtime`` the runtime and its
    version, ``load`` how busy the machine was. Raises `UnskipError` when the network cannot be exported for it.
    """

    def __init__(self, workbench: Workbench, spec: NetSpec, input_shape: tuple[int, int, int]) -> None:
        self._workbench = workbench
        self._spec = spec
        self._shape = input_shape
        self._network = self._target(str(spec), ())
        self._labels: dict[Hashable, str] = {}
        comparison = workbench.measure([self._network])
        self.runtime = comparison.groups[0].runtime
        self.load = comparison.load
        (own,) = comparison.groups[0].cells
        if own.refused is not None:
            raise UnskipError(own.refused)
        self.own = with_ratios(own, own)

    def measure(self, students: Sequence[Student]) -> dict[Hashable, Cell]:
        """Measure students together, by their structure."""
        for student in students:
            self._labels.setdefault(student.structure, f"student {len(self._labels) + 1}")
        targets = [self._target(self._labels[student.structure], student.edits) for student in students]
        first, *cells = self._workbench.measure([self._network, *targets]).groups[0].cells
        return {student.structure: with_ratios(first, cell) for student, cell in zip(students, cells, strict=True)}

    def _target(self, label: str, edits: Sequence[Edit]) -> Target:
        spec = NetSpec(self._spec.source, self._spec.options, (*self._spec.edits, *edits))
        return Target(build(spec, seed=0), self._shape, label=label, kind="net")


def with_ratios(first: Cell, this: Cell) -> Cell:
    """With what relative limits are about: the parts of the first one's figures that this one has."""
    figures = dict(this.figures)
    for name, (measure, limit) in limits().items():
        own, other = (cell.figures.get(measure.name, Figure()) for cell in (first, this))
        if limit.relative and own.samples and other.samples:
            share = time_share(own, other)
            figures[name] = Figure(value=share.median, low=share.low, high=share.high)
        elif limit.relative and own.value and other.value is not None:
            figures[name] = Figure(value=other.value / own.value)
    return this.model_copy(update={"figures": figures})


def about_ratio(measure: Measure, limit: Limit) -> About:
    """What a relative limit's figure is."""
    update = {"title": f"{measure.title} ratio", "unit": "", "definition": limit.help.removesuffix(", up to 1")}
    return measure.about.model_copy(update=update)


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
    measure: Callable[[Sequence[Student]], dict[Hashable, Cell]],
    students: Sequence[Student],
    own: Cell,
    most: Mapping[str, float],
    macs: int,
) -> dict[Hashable, Cell]:
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
        alike = [student for student in students if (student.groups > 1) == grouped]
        known = [each for each in alike if each in first]
        known = [each for each in known if each != fewest] or known  # whose guess is the worst
        used = {each: share_used(measured[each.structure].figures, most)[1] for each in known}
        off = median([high / guess[student] for student, high in used.items() if high] or [1.0])
        guess |= {student: off * guess[student] for student in alike}
    left = [student for student in students if student not in first]
    within = sorted((each for each in left if guess[each] <= 1), key=lambda student: -student.macs)
    beyond = sorted((each for each in left if guess[each] > 1), key=lambda student: guess[student])
    second = [*_unlike(within), *beyond][: MAX_MEASURED - len(first)]
    return measured | (measure(second) if second else {})


def _unlike(students: Sequence[Student]) -> list[Student]:
    """The students without those that differ from an earlier one only in which of the shortcuts are left."""
    first: dict[object, Student] = {}
    for student in students:
        kind = (student.lean, student.groups, student.depth, student.pruned, student.shortcuts == 0)
        first.setdefault(kind, student)
    return list(first.values())
