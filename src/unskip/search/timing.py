"""The latency of students that nobody has trained yet, measured beside their teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from unskip.errors import UnskipError
from unskip.export import export_untrained
from unskip.measure import Latency, Speedup, measure_latency, speedup
from unskip.nets import NetSpec
from unskip.runtimes import find_runtime
from unskip.search.budget import Budget
from unskip.search.students import Student
from unskip.surgery import Edit, build

__all__ = ["MAX_TIMED", "Stopwatch", "Timed", "time_students"]

MAX_TIMED = 8
"""So many students are exported and timed at most."""


@dataclass(frozen=True)
class Timed:
    """A student's exported file; ``ratio`` is its time divided by the teacher's. ``failure`` says why there is none."""

    latency: Latency | None = None
    ratio: Speedup | None = None
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
        self.runtime = find_runtime(runtime)
        self._spec = spec
        self._shape = input_shape
        self._threads = threads
        self._progress = progress
        self._home = tempfile.TemporaryDirectory(prefix="unskip-")
        self._folder = Path(self._home.name)
        try:
            self._teacher_file, file_bytes = self._export("teacher", ())
            self.teacher = Timed(self._measure({})["teacher"], Speedup(1.0, 1.0, 1.0), file_bytes)
        except BaseException:
            self._home.cleanup()
            raise

    def __enter__(self) -> Stopwatch:
        return self

    def __exit__(self, *error: object) -> None:
        self._home.cleanup()

    def time(self, students: Sequence[Student]) -> dict[Hashable, Timed]:
        """Export students and time them together, by their structure.

        One that cannot be exported has a failure in the place of figures.
        """
        files: dict[str, tuple[Student, int, Path]] = {}
        found: dict[Hashable, Timed] = {}
        for number, student in enumerate(students):
            name = f"student{number}"
            self._progress(f"exporting {number + 1} of {len(students)} students")
            try:
                path, file_bytes = self._export(name, student.edits)
            except UnskipError as error:
                found[student.structure] = Timed(failure=str(error))
            else:
                files[name] = student, file_bytes, path
        latencies = self._measure({name: path for name, (_, _, path) in files.items()}) if files else {}
        for name, (student, file_bytes, _) in files.items():
            ratio = speedup(latencies[name], latencies["teacher"])
            found[student.structure] = Timed(latencies[name], ratio, file_bytes)
        return found

    def _export(self, name: str, edits: Sequence[Edit]) -> tuple[Path, int]:
        spec = NetSpec(self._spec.source, self._spec.options, (*self._spec.edits, *edits))
        path = self._folder / f"{name}{self.runtime.endings[0]}"
        exported = export_untrained(build(spec, seed=0), path, self._shape)
        return exported.path, exported.file_bytes

    def _measure(self, files: dict[str, Path]) -> dict[str, Latency]:
        self._progress(f"timing {len(files) + 1} files")
        return measure_latency(
            {"teacher": self._teacher_file, **files}, self._shape, runtime=self.runtime.name, threads=self._threads
        )


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
        limits.append(budget.latency_ms / watch.teacher.latency.median_ms)
    return min(limits, default=None)


def _unlike(students: Sequence[Student]) -> list[Student]:
    """The students without those that differ from an earlier one only in which of the shortcuts are left."""
    first: dict[object, Student] = {}
    for student in students:
        first.setdefault((student.lean, student.groups, student.depth, student.shortcuts == 0), student)
    return list(first.values())
