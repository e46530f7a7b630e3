"""Feature maps where operations run in cascades: row by row, so that whole maps inside of one never exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from unskip.dataflow.operations import Dataflow
from unskip.dataflow.rewriting import fused, readers_of


@dataclass(frozen=True)
class Cascade:
    """The operations ``first`` to ``last``, which run together row by row, or one alone."""

    first: int
    last: int


@dataclass(frozen=True)
class Striped:
    """``cascades`` are in order; ``peak_elements`` live at most; places are those of the operations of ``dataflow``."""

    dataflow: Dataflow
    cascades: tuple[Cascade, ...]
    peak_elements: int


class Stripes:
    """Which operations of a dataflow can run as a cascade, and what is alive while they do.

    A cascade is a run of operations in the code's order, each of which is the only reader of the map before it and
    reads a window of it. Of a map inside, the rows are kept that one row of its reader's output needs. A whole map is
    what a cascade reads from outside, what it writes, and what is kept for later, for as long as the cascade runs. A
    map that two operations read ends a cascade, as in Arm's compiler Vela. With ``resident_weights``, the kernels of
    all operations of a cascade of more than one are in the memory with the maps, one element of theirs as large as one
    of a map; without, they are read anew for every row.
    """

    def __init__(self, dataflow: Dataflow, *, resident_weights: bool = False, windows_kept: int = 1) -> None:
        self.dataflow = fused(dataflow)
        self._resident_weights = resident_weights
        self._windows_kept = windows_kept

    @cached_property
    def readers(self) -> list[list[int]]:
        """The operations that read each map."""
        return readers_of(self.dataflow)

    @cached_property
    def last_read(self) -> list[int]:
        """The last operation that reads each map; beyond the last where the network returns it."""
        count = len(self.dataflow.operations)
        return [
            count if number in self.dataflow.outputs else max(readers, default=number - 1)
            for number, readers in enumerate(self.readers)
        ]

    def cascades_from(self, first: int) -> Iterator[Cascade]:
        """The operation alone, and every cascade that begins with it."""
        yield Cascade(first, first)
        operations = self.dataflow.operations
        for last in range(first + 1, len(operations)):
            if not (reads_rows(self.dataflow, last - 1) and self._hands_rows_on(last)):
                return
            yield Cascade(first, last)

    def _hands_rows_on(self, index: int) -> bool:
        """Whether an operation alone reads the map that is written before it, by rows."""
        alone = self.readers[index] == [index] and index not in self.dataflow.outputs
        return alone and index in self.dataflow.operations[index].inputs and reads_rows(self.dataflow, index)

    def inside(self, cascade: Cascade) -> int:
        """Elements of the rows that are kept inside of a cascade, and of its weights where they are resident."""
        operations, shapes = self.dataflow.operations, self.dataflow.shapes
        kept_elements = 0
        for index in range(cascade.first + 1, cascade.last + 1):
            window = operations[index].window
            assert window is not None
            kept_elements += rows(shapes[index], self._windows_kept * window.size[0])
        if self._resident_weights and cascade.last > cascade.first:
            kept_elements += sum(operations[index].weights for index in range(cascade.first, cascade.last + 1))
        return kept_elements

    def live(self, cascade: Cascade) -> int:
        """Elements that are alive while a cascade runs."""
        elements, last_read = self.dataflow.elements, self.last_read
        outside = sum(elements[number] for number in range(cascade.first + 1) if last_read[number] >= cascade.first)
        return outside + self.inside(cascade) + (0 if self._in_place(cascade) else elements[cascade.last + 1])

    def _in_place(self, cascade: Cascade) -> bool:
        """Whether the last operation is element-wise and writes over a map that it alone still reads."""
        operation = self.dataflow.operations[cascade.last]
        return operation.elementwise and any(
            number <= cascade.first
            and self.last_read[number] == cascade.last
            and not any(cascade.first <= reader < cascade.last for reader in self.readers[number])
            and self.dataflow.elements[number] == self.dataflow.elements[cascade.last + 1]
            for number in operation.inputs
        )


def striped(dataflow: Dataflow, *, resident_weights: bool = False, windows_kept: int = 1) -> Striped:
    """The cascades with the lowest peak of elements of feature maps, and of those the ones with the fewest operations.

    See `Stripes` for what lives in one. Exact: what lives in a cascade does not depend on the other cascades, so that
    the best of those that end at an operation follows from the best of those that end before it. The operations run in
    the order of the code.
    """
    stripes = Stripes(dataflow, resident_weights=resident_weights, windows_kept=windows_kept)
    choices = [
        [(cascade, stripes.live(cascade)) for cascade in stripes.cascades_from(first)]
        for first in range(len(stripes.dataflow.operations))
    ]
    peak = _least(choices, lambda cost, cascade, live: max(cost, live))[0]
    within = [[(cascade, live) for cascade, live in each if live <= peak] for each in choices]
    _, cascades = _least(within, lambda cost, cascade, live: cost + (cascade.last - cascade.first))
    return Striped(stripes.dataflow, cascades, peak)


def _least(
    choices: Sequence[Sequence[tuple[Cascade, int]]], costs: Callable[[int, Cascade, int], int]
) -> tuple[int, tuple[Cascade, ...]]:
    """The cascades of all operations with the least cost, ``costs`` of what came before and one cascade more."""
    best: list[tuple[int, tuple[Cascade, ...]] | None] = [(0, ())] + [None] * len(choices)
    for first, each in enumerate(choices):
        before = best[first]
        if before is None:
            continue
        for cascade, live in each:
            cost = costs(before[0], cascade, live)
            known = best[cascade.last + 1]
            if known is None or cost < known[0]:
                best[cascade.last + 1] = (cost, (*before[1], cascade))
    found = best[-1]
    assert found is not None
    return found


def rows(shape: tuple[int, ...], number: int) -> int:
    """Elements of so many rows of a map (channels, height, width), at most all."""
    channels, height, *rest = shape
    return channels * min(number, height) * prod(rest)


def reads_rows(dataflow: Dataflow, index: int) -> bool:
    """Whether rows of an operation's output are made from rows of all its inputs."""
    operation = dataflow.operations[index]
    shapes = [dataflow.shapes[number] for number in (*operation.inputs, index + 1)]
    if operation.window is None or any(len(shape) != 3 for shape in shapes):
        return False
    # A gate is multiplied with a map: there every row reads all of the gate.
    return not operation.elementwise or len({shape[1] for shape in shapes}) == 1
