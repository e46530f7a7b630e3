"""A graph as a list of functions, which run one after the other on many images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unskip.runtimes._tosa import elements, scaling, windows  # noqa: F401  (their lowerings)
from unskip.runtimes._tosa.graph import read_graph
from unskip.runtimes._tosa.lowering import LIMITS, LOWERINGS, Node, Range, UnknownOperationError

_CONSTANTS = ("CONST", "CONST_SHAPE")
_WORKING_SET = 2**20  # numbers of the largest tensor: a few MiB stay in a core's cache


@dataclass(frozen=True)
class _Step:
    compute: Callable[..., Tensor]
    reads: tuple[str, ...]
    gives: str
    last_read: tuple[str, ...] = ()


class Interpreter:
    """Runs a TOSA graph of integers; every result is that of the specification, bit for bit.

    What a graph's numbers can be is followed from its inputs to its outputs before it runs: a sum is computed in
    float32 or float64 where no order of additions can round it, and nothing that could overflow is computed at all.

    Raises `UnknownOperationError` for a graph with an operation that is not known here.
    """

    def __init__(self, data: bytes) -> None:
        self._graph = graph = read_graph(data)
        ranges = {
            name: _all_of(value.type) if value.constant is None else _of_constant(value.constant)
            for name, value in graph.values.items()
            if name in graph.inputs or (value.constant is not None and value.type != "SHAPE")
        }
        self._constants: dict[str, Tensor] = {}
        steps = []
        for operation in graph.operations:
            if operation.name in _CONSTANTS:
                continue
            if operation.name not in LOWERINGS or len(operation.outputs) != 1:
                raise UnknownOperationError(operation.name)
            lowered = LOWERINGS[operation.name](Node(graph, operation, ranges))
            reads, (gives,) = operation.inputs[: lowered.reads], operation.outputs
            for name in reads:
                constant = graph.values[name].constant
                if constant is not None:
                    self._constants[name] = torch.from_numpy(np.array(constant))[None]
            ranges[gives] = lowered.range
            steps.append(_Step(lowered.compute, reads, gives))
        self._steps = _forgetting(steps, {*graph.outputs, *self._constants})
        self._largest = max(int(np.prod(value.shape)) for value in graph.values.values())

    def __call__(self, images: NDArray[np.int8]) -> list[NDArray[Any]]:
        """The outputs for (times, batch, channels, height, width): those of as many runs of the graph."""
        size = max(1, _WORKING_SET // self._largest)
        pieces = [self._run(torch.from_numpy(images[start : start + size])) for start in range(0, len(images), size)]
        return [torch.cat(parts).numpy() for parts in zip(*pieces, strict=True)]

    @torch.inference_mode()
    def _run(self, images: Tensor) -> list[Tensor]:
        (given,) = self._graph.inputs
        values = {given: images, **self._constants}
        for step in self._steps:
            values[step.gives] = step.compute(*(values[name] for name in step.reads))
            for name in step.last_read:
                del values[name]
        return [
            values[name].to(scaling.TYPES[self._graph.values[name].type]).contiguous() for name in self._graph.outputs
        ]


def _all_of(kind: str) -> Range:
    if kind not in LIMITS:
        raise UnknownOperationError(f"an input of {kind}")
    return Range.of(*LIMITS[kind])


def _of_constant(constant: NDArray[Any]) -> Range:
    return Range.of(constant.min(), constant.max())


def _forgetting(steps: Sequence[_Step], names: set[str]) -> list[_Step]:
    """The steps, each with what no later one reads."""
    later, result = set(names), []
    for step in reversed(steps):
        last = tuple({*step.reads, step.gives} - later)
        later |= {*step.reads, step.gives}
        result.append(_Step(step.compute, step.reads, step.gives, last))
    return result[::-1]
