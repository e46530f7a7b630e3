"""The live-memory timeline: how many bytes of feature maps are alive at every operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from torch import nn

from unskip.dataflow.operations import Dataflow, trace


@dataclass(frozen=True)
class LiveOperation:
    """An operation and the bytes of feature maps alive while it runs, its inputs and its output included."""

    name: str
    kind: str
    live_bytes: int


@dataclass(frozen=True)
class MemoryTimeline:
    """Live feature maps, in bytes, operation by operation in the order in which they run.

    ``peak_at`` is the first operation that reaches the peak; ``mean_bytes`` is the mean over the operations;
    ``moved_bytes`` is what all operations together read and write, each by itself, none fused with another.
    ``policy`` says what was assumed. Weights and the scratch memory of kernels are not feature maps and do
    not count.
    """

    operations: tuple[LiveOperation, ...]
    peak_bytes: int
    peak_at: str
    mean_bytes: float
    moved_bytes: int
    policy: str

    def _repr_html_(self) -> str:
        """The bytes over the operations as a picture, which is what a notebook shows."""
        from unskip.records import Timeline
        from unskip.report.memory import DrawnTimeline, memory_plot
        from unskip.report.svg import standalone

        timeline = Timeline.model_validate(self, from_attributes=True)
        return standalone(memory_plot([DrawnTimeline("peak", timeline, 1, True)], "memory", 760))


def forecast(
    net: nn.Module, input_shape: tuple[int, int, int], *, inplace: bool = True, bytes_per_element: int = 4
) -> MemoryTimeline:
    """The live-memory timeline of a network for one image of ``(channels, height, width)``.

    An operation needs its inputs, its output, and everything that a later operation still reads. With
    ``inplace``, an element-wise operation (activation, addition, scaling) writes over an operand of its
    output's size that nothing reads later. Raises `UnskipError` when the network cannot be traced.
    """
    dataflow = trace(net, input_shape)
    live = [count * bytes_per_element for count in live_elements(dataflow, inplace=inplace)]
    named = zip(dataflow.operations, live, strict=True)
    operations = tuple(LiveOperation(operation.name, operation.kind, alive) for operation, alive in named)
    peak = max(operations, key=lambda operation: operation.live_bytes)
    used = [{*operation.inputs, index + 1} for index, operation in enumerate(dataflow.operations)]
    moved = bytes_per_element * sum(dataflow.elements[number] for numbers in used for number in numbers)
    how = policy(inplace, bytes_per_element)
    return MemoryTimeline(operations, peak.live_bytes, peak.name, fsum(live) / len(live), moved, how)


def policy(inplace: bool, bytes_per_element: int) -> str:
    """The sentence that belongs beside every figure of a timeline."""
    names = {1: "int8", 2: "float16", 4: "float32"}
    element = names.get(bytes_per_element, f"{bytes_per_element} bytes per element")
    place = "in place" if inplace else "into new memory"
    return (
        f"{element} feature maps, batch 1, BatchNorm folded into convolutions, element-wise operations {place}, "
        "operations in the order of the code"
    )


def live_elements(dataflow: Dataflow, *, inplace: bool = True, bypass: Mapping[int, int] | None = None) -> list[int]:
    """Elements of feature maps that are alive at each operation.

    ``bypass`` maps operations to one of their input maps: the operation does not run and hands that map on,
    as an addition does when its shortcut is gone. Operations whose output nobody reads any more do not run
    either; the figure in their place is what is alive meanwhile.
    """
    inputs, last_use = _reads(dataflow, dict(bypass or {}))
    elements = dataflow.elements
    memory = {0: 0}  # feature map -> the memory that holds it, named after its first map
    held_until = {0: last_use.get(0, -1)}
    live = []
    for index, operation in enumerate(dataflow.operations):
        held_until = {place: end for place, end in held_until.items() if end >= index}
        if index in inputs:
            written = place = index + 1
            if inplace and operation.elementwise:
                done = (memory[source] for source in inputs[index] if held_until[memory[source]] == index)
                place = next((over for over in done if elements[over] == elements[written]), written)
            memory[written] = place
            held_until[place] = last_use[written]
        live.append(sum(elements[place] for place in held_until))
    return live


def _reads(dataflow: Dataflow, bypass: dict[int, int]) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """The inputs of the operations that run, and the last reader of each map (outputs: beyond the last)."""

    def source(number: int) -> int:
        while number - 1 in bypass:
            number = bypass[number - 1]
        return number

    last_use = {source(number): len(dataflow.operations) for number in dataflow.outputs}
    inputs = {}
    for index in reversed(range(len(dataflow.operations))):
        if index in bypass or index + 1 not in last_use:
            continue
        inputs[index] = tuple(source(number) for number in dataflow.operations[index].inputs)
        for number in inputs[index]:
            last_use.setdefault(number, index)
    return inputs, last_use
