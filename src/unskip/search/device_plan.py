"""Students with all their blocks on a device, by its compiler: what the stem and the shortcuts alone can give there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unskip.errors import UnskipError
from unskip.measures import device_figures
from unskip.nets import NetSpec, StagedNet
from unskip.records import Estimate, Figure
from unskip.runtimes import Configuration
from unskip.search.choosing import Forecast, corners
from unskip.search.compiling import Compiled, compile_all
from unskip.search.on_device import MAX_COMPILED
from unskip.search.recipes import entries, in_one_line
from unskip.search.student import Student
from unskip.search.students import StudentSearch

_NO_GAIN = 0.005  # a part of a figure by which a line must be lower than one that changes less
_AS_GOOD = 0.02  # what the best may be missed by, for shortcuts that stay


@dataclass(frozen=True)
class CompiledStudent:
    """A student and what a device's compiler says of it, or why it says nothing."""

    student: Student
    estimate: Estimate | None
    refused: str = ""

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """By measure."""
        return {} if self.estimate is None else device_figures(self.estimate)

    @property
    def cycles(self) -> float:
        """As the compiler says, without end where it does not."""
        return _value(self.figures, "cycles")

    @property
    def sram_bytes(self) -> float:
        """As the compiler says, without end where it does not."""
        return _value(self.figures, "sram")

    @property
    def recipe_edits(self) -> tuple[str, ...]:
        """The edits as YAML, one an entry: what stands under ``student.edits`` or behind ``--edit``."""
        return tuple(f"{name}: {in_one_line(dict(given))}" if given else name for name, given in self.student.edits)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON, but for the layers; ``edits`` can stand in a recipe as it is."""
        return {
            "student": str(self.student),
            "edits": entries(self.student.edits),
            "shortcuts": self.student.shortcuts,
            "macs": self.student.macs,
            "parameters": self.student.parameters,
            "figures": {name: figure.value for name, figure in self.figures.items()},
            "refused": self.refused or None,
        }


@dataclass(frozen=True)
class DevicePlan:
    """What edits of the stem and the shortcuts give on a device, by its compiler.

    The first line is the network as it is. The others need less than every one that was compiled and changes less, the
    fewest cycles first, or the least SRAM where nobody estimates cycles; last, to compare with, all shortcuts removed,
    the lean stem, and both. ``num_compiled`` were compiled, ``num_left`` were not, ``refused`` says why some could not
    be.
    """

    device: Configuration
    lines: tuple[CompiledStudent, ...]
    num_compiled: int
    num_left: int
    refused: Mapping[str, str]

    def best(self, figure: str) -> CompiledStudent | None:
        """The line with the lowest figure by a measure, if the network's own does not come near it."""
        able = [line for line in self.lines if line.figures.get(figure, Figure()).value is not None]
        lowest = min(able, key=lambda line: _value(line.figures, figure), default=None)
        if lowest is None or _value(self.lines[0].figures, figure) <= (1 + _AS_GOOD) * _value(lowest.figures, figure):
            return None
        return lowest

    def as_good(self, best: CompiledStudent, figure: str) -> CompiledStudent | None:
        """The line that keeps the most shortcuts and comes near the best one; None where that is the best itself."""
        most = (1 + _AS_GOOD) * _value(best.figures, figure)
        near = [line for line in self.lines if _value(line.figures, figure) <= most]
        kept = max(near, key=lambda line: line.student.shortcuts)
        return kept if kept.student.shortcuts > best.student.shortcuts else None


def removal_groups(
    net: StagedNet, input_shape: tuple[int, int, int], device: Configuration, *, compiled: Compiled = lambda d, of: None
) -> list[CompiledStudent]:
    """The network as it is, plain in each of its stages, plain, with a lean stem, and with both, on a device.

    Raises `UnskipError` where the network itself cannot be compiled for it.
    """
    search = StudentSearch(net, input_shape, any_stages=True, all_blocks=True)
    stages = [each for each in search.students if not each.lean and each.removed and each.removed[0] in net.stage_names]
    single = [each for each in stages if each.removed is not None and len(each.removed) == 1]
    return _compiled(net, input_shape, device, [search.students[0], *single, *corners(search.students)], compiled)


def plan_for_device(
    net: StagedNet,
    input_shape: tuple[int, int, int],
    device: Configuration,
    *,
    limit: int = 10,
    compiles: int = MAX_COMPILED,
    compiled: Compiled = lambda done, of: None,
) -> DevicePlan:
    """The edits of the stem and the shortcuts that give the most on a device, by its compiler.

    Candidates are the stem as it is or lean, with the shortcuts removed from any stages, or as in the steps of a
    `plan`. Where there are more than ``compiles``, a forecast says which are compiled; the lean stem, all shortcuts
    removed, and both always are. ``compiled`` is told how many of how many. Raises `UnskipError` where the network
    itself cannot be compiled for the device.
    """
    search = StudentSearch(net, input_shape, any_stages=True, all_blocks=True)
    own, *students = search.students
    forecast = Forecast(search.net, input_shape, device)
    first = corners(students)
    rest = sorted((each for each in students if each not in first), key=forecast.key)
    chosen = [*first, *rest][: max(compiles, len(first))]
    every = _compiled(net, input_shape, device, [own, *chosen], compiled)
    known = [line for line in every[1:] if line.estimate is not None]
    unbeaten = [line for line in known if not any(_beats(other, line) for other in every)]
    best = sorted(unbeaten, key=lambda line: (line.cycles, line.sram_bytes))[:limit]
    compared = [line for line in known[: len(first)] if line not in best and line.student in first]
    return DevicePlan(
        device=device,
        lines=(every[0], *best, *compared),
        num_compiled=len(chosen),
        num_left=len(students) - len(chosen),
        refused={str(line.student): line.refused for line in every if line.refused},
    )


def _compiled(
    net: StagedNet,
    input_shape: tuple[int, int, int],
    device: Configuration,
    students: Sequence[Student],
    compiled: Compiled,
) -> list[CompiledStudent]:
    spec = net.spec
    assert spec is not None
    students = list({student.structure: student for student in students}.values())
    specs = [NetSpec(spec.source, spec.options, (*spec.edits, *student.edits)) for student in students]
    answers = compile_all(specs, input_shape, device, compiled=compiled)
    if isinstance(answers[0], UnskipError):
        raise answers[0]
    return [
        CompiledStudent(student, None, str(answer))
        if isinstance(answer, UnskipError)
        else CompiledStudent(student, answer)
        for student, answer in zip(students, answers, strict=True)
    ]


def _beats(other: CompiledStudent, line: CompiledStudent) -> bool:
    """Whether another one changes less, or as much, and needs hardly more of anything."""
    mine, its = line.student, other.student
    if line is other or other.estimate is None or its.shortcuts < mine.shortcuts or its.lean > mine.lean:
        return False
    figures = ["cycles"] if other.estimate.sram_limit_bytes else ["cycles", "sram"]  # a cache is always full
    return all((1 - _NO_GAIN) * _value(other.figures, name) <= _value(line.figures, name) for name in figures) and (
        its.shortcuts,
        -its.lean,
        -other.cycles,
    ) > (mine.shortcuts, -mine.lean, -line.cycles)


def _value(figures: Mapping[str, Figure], name: str) -> float:
    value = figures.get(name, Figure()).value
    return float("inf") if value is None else value
