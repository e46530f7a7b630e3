"""The order of operations in which the fewest bytes of feature maps live at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from unskip.dataflow.operations import Dataflow
from unskip.dataflow.rewriting import readers_of

_MOST_STATES = 50_000


@dataclass(frozen=True)
class Reordered:
    """``order`` are places of operations in the code's order; ``exact``: no order needs less than ``peak_elements``."""

    order: tuple[int, ...]
    peak_elements: int
    exact: bool


def reordered(dataflow: Dataflow, *, inplace: bool = True, most_states: int = _MOST_STATES) -> Reordered:
    """The order with the lowest peak, as `unskip.forecast` counts peaks, of all that respect what reads what.

    Which operations have run says what is alive, whatever the order among them was, so that the sets of operations are
    the nodes of a graph in which the way with the lowest peak is looked for, lowest first. Networks with short branches
    have few such sets and their answer is exact; the search ends after ``most_states`` sets, with the best order that
    is at hand. The same question is asked by Liberis and Lane (arXiv 1910.05110) and answered by all orders; by DERO
    for networks with shortcuts.
    """
    steps = _Steps(dataflow, inplace)
    all_written = (1 << len(dataflow.operations)) - 1
    heap: list[tuple[int, int, int]] = [(dataflow.elements[0], 0, 0)]  # peak, operations still to come, those that ran
    way: dict[int, tuple[int, int]] = {0: (0, -1)}
    settled: set[int] = set()
    while heap and len(settled) < most_states:
        peak, _, state = heappop(heap)
        if state == all_written:
            return Reordered(_order(way, state), peak, exact=True)
        if state in settled:
            continue
        settled.add(state)
        for index in steps.ready(state):
            following = state | 1 << index
            if following not in settled:
                least = max(peak, steps.live(state, index))
                if following not in way or least < way[following][0]:
                    way[following] = (least, index)
                    heappush(heap, (least, len(dataflow.operations) - following.bit_count(), following))
    return _as_written(dataflow, steps)


class _Steps:
    """What can run next, and what is alive then, after the operations whose bits are set."""

    def __init__(self, dataflow: Dataflow, inplace: bool) -> None:
        self._dataflow, self._inplace = dataflow, inplace
        self._needs = [_bits(number - 1 for number in operation.inputs if number) for operation in dataflow.operations]
        self._readers = [_bits(readers) for readers in readers_of(dataflow)]

    def ready(self, state: int) -> list[int]:
        """The operations that can run."""
        return [index for index, needs in enumerate(self._needs) if not state >> index & 1 and needs & state == needs]

    def live(self, state: int, index: int) -> int:
        """The elements alive while an operation runs."""
        elements, outputs = self._dataflow.elements, self._dataflow.outputs
        operation, later = self._dataflow.operations[index], ~(state | 1 << index)
        held = 0
        for number, readers in enumerate(self._readers):
            if (number == 0 or state >> number - 1 & 1) and (readers & ~state or number in outputs):
                held += elements[number]
        if self._inplace and operation.elementwise:
            done = (
                number for number in operation.inputs if number not in outputs and not self._readers[number] & later
            )
            if any(elements[number] == elements[index + 1] for number in done):
                return held
        return held + elements[index + 1]


def _order(way: dict[int, tuple[int, int]], state: int) -> tuple[int, ...]:
    order = []
    while state:
        index = way[state][1]
        order.append(index)
        state ^= 1 << index
    return tuple(order[::-1])


def _as_written(dataflow: Dataflow, steps: _Steps) -> Reordered:
    """The code's own order."""
    count = len(dataflow.operations)
    peak = max(steps.live((1 << index) - 1, index) for index in range(count))
    return Reordered(tuple(range(count)), peak, exact=False)


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in set(numbers))
