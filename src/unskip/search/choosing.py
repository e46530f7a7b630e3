"""Which students are compiled for a device, where not all can be: a forecast puts them in order, no more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from operator import attrgetter

from unskip.dataflow import Cost, Device, Optimise, device_named
from unskip.errors import UnskipError
from unskip.export import format_for_device
from unskip.nets import StagedNet
from unskip.processes import num_cores
from unskip.records import Cell
from unskip.runtimes import Configuration, Estimator, find_runtime
from unskip.search.counted import left_out, within
from unskip.search.measuring import share_used
from unskip.search.student import Student
from unskip.search.sub_net_trace import SubNetTrace
from unskip.surgery import edited

_SMALLEST_BATCH = 4
_FEWEST_ROUNDS = 2  # the first one shows how far the forecast misleads
_OF_MEMORY = ("sram",)
_SPARE = 0.9  # of the limits: what is known of other kinds of edits misleads by some per cent


def _bare(student: Student) -> Student:
    """A student by its edits alone, without what is counted of it."""
    return replace(student, sub_net=False, gone=frozenset(), shortcuts=0, peak_elements=0, macs=0, parameters=0)


class Forecast:
    """How the costs of students compare on a device, guessed.

    Where nobody forecasts for the device, and for students with groups, MACs and live feature maps stand for cycles and
    SRAM.
    """

    def __init__(self, net: StagedNet, input_shape: tuple[int, int, int], device: Configuration) -> None:
        self._net = net
        self._shape = input_shape
        self._optimise = device.setting.get("optimise", "speed")
        self._cost = cache(self._estimated)
        self._traced = cache(self._trace)
        self._device: Device | None = None
        with suppress(UnskipError):  # there are other devices
            self._device = device_named(device.target)
        self._suited = format_for_device(device).suited
        runtime = find_runtime(device.runtime)
        assert isinstance(runtime, Estimator)
        size = runtime.sram_bytes(device)
        if self._device is not None and size is not None:
            self._device = replace(self._device, sram_bytes=size)

    def ratio(self, student: Student, other: Student, limited: str) -> float:
        """How many times as much as another one a student costs of what a limit is about."""
        pair = student, other
        if self._device is not None and all(each.groups == 1 for each in pair):
            first, second = (self._of(each, limited) for each in pair)
        else:
            first, second = (each.peak_elements if limited in _OF_MEMORY else each.macs for each in pair)
        return first / max(1, second)

    def key(self, student: Student) -> tuple[int, ...]:
        """By which students with all blocks are put in order, the cheapest first."""
        return (student.macs,) if self._device is None else self._cost(_bare(student)).key

    def _of(self, student: Student, limited: str) -> float:
        """What a student costs, its edits and its depth each by themselves: there are too many of both together."""
        figure = attrgetter("sram_bytes" if limited in _OF_MEMORY else "cycles")
        cost: float = figure(self._cost(_bare(replace(student, depth=None))))
        if student.depth is not None:
            removed = None if student.removed is None else ()
            short = _bare(replace(student, lean=False, removed=removed, shortened=(), pruned=0.0, pruned_last=False))
            cost *= figure(self._cost(short)) / max(1, figure(self._cost(replace(short, depth=None))))
        return cost

    def _estimated(self, student: Student) -> Cost:
        assert self._device is not None
        before = student.removed if student.pruned_last else ()  # what goes decides which channels can
        traced = self._traced(replace(student, depth=None, removed=before))
        removed = traced.places if student.removed is None else student.removed
        plain = [place for place in traced.places if within(place, removed)]
        optimise: Optimise = "size" if self._optimise == "size" else "speed"
        return traced.cost(self._device, plain, left_out(self._net, student.depth), optimise=optimise)

    def _trace(self, student: Student) -> SubNetTrace:
        return SubNetTrace(self._suited(edited(self._net, student.edits, seed=0)), self._shape)


def compile_students(
    measure: Callable[[Sequence[Student]], dict[Hashable, Cell]],
    students: Sequence[Student],
    own: tuple[Student, Cell],
    most: Mapping[str, float],
    forecast: Forecast,
    *,
    at_most: int,
    until: Callable[[], bool] = lambda: False,
) -> dict[Hashable, Cell]:
    """Compile ``at_most`` of the students, which come in the order of change, the least changed first.

    No third round begins once ``until`` says that it is time to stop.

    First come the lean stem, all shortcuts removed, and both, since two edits can win together where each alone loses,
    and the fewest MACs. Then, in rounds, those that are most likely to meet ``most`` with the least change, of every
    kind of edits one before a second of any, and, until one is within the limits, those that are likely to cost the
    least: what was compiled of the most similar student says how far a forecast misleads.
    """
    measured: dict[Hashable, Cell] = {own[0].structure: own[1]}
    batch = _first(students)[:at_most]
    rounds = 0
    while batch and not (rounds >= _FEWEST_ROUNDS and until()):
        rounds += 1
        measured |= measure(batch)
        compiled = [student for student in (own[0], *students) if _is_known(measured, student)]
        unmeasured = [student for student in students if student.structure not in measured]
        share = {student: _guessed(student, compiled, measured, most, forecast) for student in unmeasured}
        size = min(max(_SMALLEST_BATCH, num_cores()), at_most + 1 - len(measured))
        kinds = _kinds_within(compiled, measured, most)
        within = _varied(_likely(unmeasured, share, {student.kinds for student in compiled}), kinds)
        within = within[: size if kinds else (size + 1) // 2]
        cheapest = sorted((each for each in unmeasured if each not in within), key=lambda student: share[student])
        batch = [*within, *cheapest][: max(size, 0)]
    return {structure: cell for structure, cell in measured.items() if structure != own[0].structure}


def _likely(
    students: Sequence[Student], share: Mapping[Student, float], compiled: Collection[frozenset[str]]
) -> list[Student]:
    """Those that are guessed to be within the limits; with room to spare where nothing of their kind was compiled."""
    return [each for each in students if share[each] <= (1 if each.kinds in compiled else _SPARE)]


def _varied(students: Sequence[Student], kinds: Collection[frozenset[str]]) -> list[Student]:
    """The students in their order, but the first ones of kinds of edits that are not in ``kinds`` before all others.

    Of these, one edit comes before several together.
    """
    firsts: dict[frozenset[str], Student] = {}
    for student in students:
        if student.kinds not in kinds:
            firsts.setdefault(student.kinds, student)
    first = sorted(firsts.values(), key=lambda student: len(student.kinds))
    return [*first, *(student for student in students if student not in first)]


def _kinds_within(
    compiled: Sequence[Student], measured: Mapping[Hashable, Cell], most: Mapping[str, float]
) -> set[frozenset[str]]:
    """The kinds of edits of which a student is within the limits."""
    return {student.kinds for student in compiled if share_used(measured[student.structure].figures, most)[1] <= 1}


def _is_known(measured: Mapping[Hashable, Cell], student: Student) -> bool:
    return student.structure in measured and measured[student.structure].refused is None


def corners(students: Sequence[Student]) -> list[Student]:
    """Those with all blocks that are plain, have a lean stem, or both."""
    whole = [each for each in students if each.is_whole and not each.pruned and each.shortened == ()]
    return [student for student in whole if student.removed is None or (student.lean and student.removed == ())]


def _first(students: Sequence[Student]) -> list[Student]:
    """What is compiled before anything is known."""
    fewest = min(students, key=lambda student: student.macs, default=None)
    return list(dict.fromkeys([*corners(students), *([fewest] if fewest else [])]))


def _guessed(
    student: Student,
    compiled: Sequence[Student],
    measured: Mapping[Hashable, Cell],
    most: Mapping[str, float],
    forecast: Forecast,
) -> float:
    """The share of the limits that a student comes to: that of the most similar one, times what a forecast says."""
    alike = min(compiled, key=lambda other: _difference(student, other))
    figures = measured[alike.structure].figures
    shares = [
        share_used(figures, {name: limit})[1] * forecast.ratio(student, alike, name) for name, limit in most.items()
    ]
    return max(shares, default=1.0)


def _difference(student: Student, other: Student) -> tuple[float, ...]:
    """How unlike two students are: by the stem first, then by groups, then by width, then by what is gone."""
    width = abs(student.pruned - other.pruned)
    return student.lean != other.lean, student.groups != other.groups, width, len(student.gone ^ other.gone)
