"""A dataflow with some of its operations left out, the rest numbered anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from unskip.dataflow.operations import Dataflow


def bypassed(dataflow: Dataflow, bypass: Mapping[int, int]) -> Dataflow:
    """The dataflow without the operations in ``bypass``, which hand on one of their input maps each, as it says.

    Operations whose output nobody reads any more are left out too.
    """

    def source(number: int) -> int:
        while number - 1 in bypass:
            number = bypass[number - 1]
        return number

    read = {source(number) for number in dataflow.outputs}
    indices: list[int] = []
    for index in reversed(range(len(dataflow.operations))):
        if index + 1 in read and index not in bypass:
            read.update(source(number) for number in dataflow.operations[index].inputs)
            indices.append(index)
    return _renumbered(dataflow, indices[::-1], source, {})


def fused(dataflow: Dataflow) -> Dataflow:
    """The dataflow with every element-wise operation of one map in the operation that writes it.

    That is where nothing else reads that map, and the operation changes neither size nor place: activations, which
    deployed networks compute while they write.
    """
    readers = readers_of(dataflow)
    merged: dict[int, int] = {}  # operation -> the first of those that it is computed with
    for index, operation in enumerate(dataflow.operations):
        sources = set(operation.inputs)
        if operation.elementwise and len(sources) == 1:
            (number,) = sources
            alone = len(readers[number]) == 1 and number not in dataflow.outputs
            if number and alone and dataflow.elements[number] == dataflow.elements[index + 1]:
                merged[index] = merged.get(number - 1, number - 1)
    last = {first: index for index, first in merged.items()}
    kept = [index for index in range(len(dataflow.operations)) if index not in merged]
    return _renumbered(dataflow, kept, lambda number: merged.get(number - 1, number - 1) + 1, last)


def reordered_by(dataflow: Dataflow, order: Sequence[int]) -> Dataflow:
    """The dataflow with its operations in another order that respects what reads what; those not in it are left out."""
    return _renumbered(dataflow, order, lambda number: number, {})


def behind_of(dataflow: Dataflow, index: int) -> Dataflow:
    """The operations behind one that alone hands a map on to them: its map is their image."""
    operations = (
        replace(operation, inputs=tuple(number - index - 1 for number in operation.inputs))
        for operation in dataflow.operations[index + 1 :]
    )
    outputs = frozenset(number - index - 1 for number in dataflow.outputs)
    return Dataflow(tuple(operations), dataflow.elements[index + 1 :], dataflow.shapes[index + 1 :], outputs)


def readers_of(dataflow: Dataflow) -> list[list[int]]:
    """The operations that read each map, in order."""
    readers: list[list[int]] = [[] for _ in dataflow.elements]
    for index, operation in enumerate(dataflow.operations):
        for number in sorted(set(operation.inputs)):
            readers[number].append(index)
    return readers


def _renumbered(
    dataflow: Dataflow, indices: Sequence[int], source: Callable[[int], int], writes: Mapping[int, int]
) -> Dataflow:
    """The operations at ``indices``, which read ``source`` of what they read and write what those of ``writes`` did."""
    places = {0: 0} | {index + 1: place + 1 for place, index in enumerate(indices)}
    maps = [0, *(writes.get(index, index) + 1 for index in indices)]
    return Dataflow(
        operations=tuple(
            replace(operation, inputs=tuple(places[source(number)] for number in operation.inputs))
            for operation in map(dataflow.operations.__getitem__, indices)
        ),
        elements=tuple(dataflow.elements[number] for number in maps),
        shapes=tuple(dataflow.shapes[number] for number in maps),
        outputs=frozenset(places[source(number)] for number in dataflow.outputs),
    )
