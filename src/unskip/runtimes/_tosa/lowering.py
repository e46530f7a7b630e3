"""How an operation becomes a function on tensors, with what is known of its numbers before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unskip.runtimes._tosa.graph import Constant, Operation, TosaGraph, Value

Integers = NDArray[np.int64]
LIMITS: Mapping[str, tuple[int, int]] = {
    name: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in {"INT8": 8, "INT16": 16, "INT32": 32}.items()
} | {"BOOL": (0, 1)}


class UnknownOperationError(Exception):
    """A graph with something that is not computed here; the reference model runs it."""


@dataclass(frozen=True)
class Range:
    """Bounds of a tensor's numbers: one for all, or one for each place of the last dimension."""

    low: Integers
    high: Integers

    @classmethod
    def of(cls, low: Any, high: Any) -> Range:
        """From numbers or arrays."""
        return cls(np.asarray(low, np.int64), np.asarray(high, np.int64))

    @property
    def bounds(self) -> tuple[int, int]:
        """Those that hold everywhere."""
        return int(self.low.min()), int(self.high.max())

    def reach(self, zero: int = 0) -> Integers:
        """The largest distance from ``zero``."""
        return np.maximum(abs(self.low - zero), abs(self.high - zero))

    def within(self, low: int, high: int) -> Range:
        """With everything beyond set to the nearer bound."""
        return Range(np.clip(self.low, low, high), np.clip(self.high, low, high))

    def checked(self, kind: str) -> Range:
        """Itself, if numbers of that type hold it; else `UnknownOperationError`: the graph could overflow."""
        low, high = self.bounds
        if not (LIMITS[kind][0] <= low and high <= LIMITS[kind][1]):
            raise UnknownOperationError(f"{kind} that could overflow")
        return self


@dataclass(frozen=True)
class Lowered:
    """A function on the first ``reads`` inputs, each with a first dimension of its own in front, and its range.

    Tensors of the type INT32 may be given as floating-point numbers that are whole and exact.
    """

    compute: Callable[..., Tensor]
    range: Range
    reads: int = 1


@dataclass(frozen=True)
class Node:
    """An operation in its graph, with the ranges of what it reads."""

    graph: TosaGraph
    operation: Operation
    ranges: Mapping[str, Range]

    @property
    def output(self) -> Value:
        """What it gives."""
        (name,) = self.operation.outputs
        return self.graph.values[name]

    def input(self, place: int) -> Value:
        """What it reads there."""
        return self.graph.values[self.operation.inputs[place]]

    def range(self, place: int = 0) -> Range:
        """Bounds of what it reads there."""
        return self.ranges[self.operation.inputs[place]]

    def constant(self, place: int) -> Constant:
        """The numbers of an input that does not change; `UnknownOperationError` for one that does."""
        if place >= len(self.operation.inputs):
            self.unknown(f"without input {place}")
        constant = self.input(place).constant
        return self.unknown(f"with a computed input {place}") if constant is None else constant

    def integers(self, place: int) -> Integers:
        """A constant as 64-bit integers."""
        return self.constant(place).astype(np.int64)

    def scalar(self, place: int) -> int:
        """A constant of one number."""
        (number,) = self.constant(place).reshape(-1).tolist()
        return int(number)

    def attribute(self, name: str) -> Any:
        """An attribute by the schema's name."""
        return self.operation.attributes[name]

    def unknown(self, why: str) -> NoReturn:
        """Raise `UnknownOperationError`."""
        raise UnknownOperationError(f"{self.operation.name} {why}")


Lowering = Callable[[Node], Lowered]
LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Mark a function as the one that lowers operations of these names."""

    def mark(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, lowering))
        return lowering

    return mark
