"""What a device's compiler says of students that nobody has trained yet, beside the network's own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from unskip.errors import UnskipError
from unskip.measures import DeviceMeasure, device_figures, limits
from unskip.nets import NetSpec
from unskip.records import Cell, Estimate
from unskip.runtimes import Configuration, Estimator, find_runtime
from unskip.search.budget import Budget
from unskip.search.compiling import Compiled, compile_all
from unskip.search.measuring import with_ratios
from unskip.search.student import Student
from unskip.surgery import Edit

MAX_COMPILED = 24
"""So many students are compiled at most, unless somebody says how many."""


class DeviceBench:
    """Asks the compiler of a device about untrained students, and about the network itself.

    Cells have figures by measure and by relative limit. ``own`` is that of the network, ``runtime`` the compiler and
    its version. ``compiled`` is told how many networks of ``most`` are compiled. Raises `UnskipError` when the network
    itself cannot be.
    """

    load = None  # nothing is timed

    def __init__(
        self,
        spec: NetSpec,
        input_shape: tuple[int, int, int],
        device: Configuration,
        *,
        most: int = MAX_COMPILED,
        compiled: Compiled = lambda done, of: None,
    ) -> None:
        self._spec = spec
        self._shape = input_shape
        self._device = device
        self._most = most
        self._compiled = compiled
        self._done = 0
        (own,) = self._ask([()])
        if isinstance(own, UnskipError):
            raise own
        self.estimate = own
        self.runtime = own.by
        self.own = cell_of(own, own)

    def check(self, limited: Mapping[str, float]) -> None:
        """Raise `UnskipError` for a limit of what this compiler does not say."""
        for name, (measure, limit) in limits().items():
            if (limit.name if limit.relative else measure.name) in limited and measure.name not in self.own.figures:
                known = [f"`{each}`" for each, (other, _) in limits().items() if other.name in self.own.figures]
                raise UnskipError(
                    f"`{name}` is no limit for {self._device.target}: {self.runtime} does not say it; limit "
                    f"{' or '.join(known)}"
                )

    def measure(self, students: Sequence[Student]) -> dict[Hashable, Cell]:
        """Compile students, by their structure."""
        answers = self._ask([student.edits for student in students])
        return {
            student.structure: cell_of(answer, self.estimate) for student, answer in zip(students, answers, strict=True)
        }

    def _ask(self, edits: Sequence[Sequence[Edit]]) -> list[Estimate | UnskipError]:
        before, own = self._done, self._spec
        specs = [NetSpec(own.source, own.options, (*own.edits, *each)) for each in edits]

        def compiled(num_compiled: int, of: int) -> None:
            self._done = before + num_compiled
            self._compiled(self._done, max(self._most + 1, before + of))

        return compile_all(specs, self._shape, self._device, compiled=compiled)


def cell_of(answer: Estimate | UnskipError, own: Estimate) -> Cell:
    """An answer with its figures, and their parts of the network's own."""
    if isinstance(answer, UnskipError):
        return Cell(subject="", refused=str(answer))
    cells = (Cell(subject="", figures=device_figures(each), estimate=each) for each in (own, answer))
    return with_ratios(*cells)


def check_limits(budget: Budget, device: Configuration | None) -> None:
    """Raise `UnskipError` for a limit of a device without one, and for one of this machine's time beside a device."""
    for name, (measure, _) in limits().items():
        if name not in budget.limits:
            continue
        if isinstance(measure, DeviceMeasure) and device is None:
            raise UnskipError(f"`{name}` is a limit of a device: name it with `target`, such as ethos-u65-256")
        if measure.kind == "time" and not isinstance(measure, DeviceMeasure) and device is not None:
            names = " or ".join(
                f"`{other}`"
                for other, (each, _) in limits().items()
                if each.kind == "time" and isinstance(each, DeviceMeasure)
            )
            raise UnskipError(f"`{name}` is about this machine, not about {device.target}: limit {names} instead")


def with_sram_of(budget: Budget, device: Configuration) -> Configuration:
    """The device, whose compiler is told the SRAM that a budget allows."""
    size = budget.most.get("sram")
    runtime = find_runtime(device.runtime)
    assert isinstance(runtime, Estimator)
    return device if size is None else runtime.with_sram(device, int(size))
