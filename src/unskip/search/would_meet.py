"""What would make it possible to meet a budget that no student meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unskip.errors import UnskipError
from unskip.nets import NetSpec, StagedNet
from unskip.records import Cell, Estimate, Figure
from unskip.runtimes import Configuration
from unskip.search.budget import Budget
from unskip.search.compiling import compile_all
from unskip.search.counting import Counting
from unskip.search.measuring import share_used
from unskip.search.on_device import cell_of
from unskip.search.student import Student
from unskip.search.students import StudentSearch

Shape = tuple[int, int, int]
_SHARES = (3 / 4, 1 / 2, 3 / 8, 1 / 4)  # of an image's sides
_MULTIPLE = 8
_MOST_COMPILED = 2


@dataclass(frozen=True)
class WouldMeet:
    """A change that no edit makes and that meets a budget, with the least changed student that does so then.

    ``words`` say what changes ("8 bits", "images of 112x112"); ``figures`` are the student's, by measure.
    """

    words: str
    student: Student
    input_shape: Shape
    element: str
    figures: Mapping[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return {
            "change": self.words,
            "student": str(self.student),
            "input_shape": list(self.input_shape),
            "element": self.element,
            "figures": {name: figure.model_dump(exclude_defaults=True) for name, figure in self.figures.items()},
        }


def counted_would_meet(
    net: StagedNet, input_shape: Shape, budget: Budget, search: StudentSearch, progress: Callable[[str], None]
) -> Iterator[WouldMeet]:
    """What would meet limits that are all counted: 8 bits, the largest of some smaller images, or else both."""
    sizes = {input_shape: search}
    eight = Budget(budget.limits, "int8")
    met = False
    if budget.element != "int8" and (within := _within(net, input_shape, eight, search)):
        met = True
        yield WouldMeet("8 bits", within[0], input_shape, "int8", within[1])
    for words, limits in (("", budget), ("8 bits, ", eight)):
        if words and (met or budget.element == "int8"):
            return
        for shape in smaller(input_shape):
            progress(f"searching what images of {_size(shape)} would need")
            try:
                sizes[shape] = sizes.get(shape) or StudentSearch(net, shape, like=search)
                within = _within(net, shape, limits, sizes[shape])
            except UnskipError:  # too small for the network
                break
            if within:
                met = True
                yield WouldMeet(f"{words}images of {_size(shape)}", within[0], shape, limits.element, within[1])
                break


def compiled_would_meet(
    spec: NetSpec, input_shape: Shape, budget: Budget, student: Student, device: Configuration, own: Estimate
) -> Iterator[WouldMeet]:
    """The largest of two smaller images for which a student meets the limits of a device, by its compiler.

    ``own`` is what the network itself costs there, which ratios are about.
    """
    edits = NetSpec(spec.source, spec.options, (*spec.edits, *student.edits))
    for shape in list(smaller(input_shape))[:_MOST_COMPILED]:
        (answer,) = compile_all([edits], shape, device)
        cell = Cell(subject="") if isinstance(answer, UnskipError) else cell_of(answer, own)
        figures = {name: cell.figures[name] for name in budget.most if name in cell.figures}
        if len(figures) == len(budget.most) and share_used(figures, budget.most)[1] <= 1:
            yield WouldMeet(f"images of {_size(shape)}", student, shape, budget.element, cell.figures)
            return


def smaller(input_shape: Shape) -> list[Shape]:
    """Smaller images of the same form, the largest first, their sides multiples of 8."""
    channels, *sides = input_shape
    scaled = [[int(share * side) // _MULTIPLE * _MULTIPLE for side in sides] for share in _SHARES]
    shapes = [(channels, height, width) for height, width in scaled if min(height, width) > 0]
    return [shape for shape in dict.fromkeys(shapes) if shape[1:] != tuple(sides)]


def _within(
    net: StagedNet, shape: Shape, budget: Budget, search: StudentSearch
) -> tuple[Student, dict[str, Figure]] | None:
    """The least changed student within a budget's counted limits, and its figures."""
    counting = Counting(net, shape, budget, search.students[0])
    able = [student for student in search.students if counting.share_used(student) <= 1]
    least = min(able, key=lambda student: student.change, default=None)
    if least is None:
        return None
    return least, {name: Figure(value=value) for name, value in counting.figures(least).items()}


def _size(shape: Shape) -> str:
    return f"{shape[1]}x{shape[2]}"
