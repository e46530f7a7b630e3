"""Operations on every number by itself, and those that only move numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from unskip.runtimes._tosa.lowering import LIMITS, Integers, Lowered, Node, Range, lowers
from unskip.runtimes._tosa.scaling import TYPES

_SUMS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ADD": torch.add,
    "SUB": torch.sub,
    "MAXIMUM": torch.maximum,
    "MINIMUM": torch.minimum,
}
_COMPARISONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "EQUAL": torch.eq,
    "GREATER": torch.gt,
    "GREATER_EQUAL": torch.ge,
}


def whole(numbers: Tensor) -> Tensor:
    """Integers, where they came as floating-point numbers."""
    return numbers.to(torch.int32) if numbers.is_floating_point() else numbers


def _known(node: Node) -> str:
    kind = node.output.type
    if kind not in LIMITS:
        node.unknown(f"of {kind}")
    return kind


@lowers("ADD", "SUB", "MAXIMUM", "MINIMUM")
def of_two(node: Node) -> Lowered:
    """Of two tensors, the shorter sides of either repeated."""
    function = _SUMS[node.operation.name]
    (low, high), (other_low, other_high) = node.range(0).bounds, node.range(1).bounds
    if node.operation.name == "SUB":
        other_low, other_high = -other_high, -other_low
    if node.operation.name in ("ADD", "SUB"):
        range_ = Range.of(low + other_low, high + other_high)
    else:
        range_ = Range.of(*(int(function(*map(torch.tensor, pair))) for pair in ((low, other_low), (high, other_high))))

    def compute(one: Tensor, other: Tensor) -> Tensor:
        if one.is_floating_point() or other.is_floating_point():
            one, other = one.double(), other.double()  # exact for 32 bits
        return function(one, other)

    return Lowered(compute, range_.checked(_known(node)), reads=2)


@lowers("MUL")
def product(node: Node) -> Lowered:
    """Of two tensors, in 32 bits, rounded where it is shifted."""
    shift = node.scalar(2)
    ends = np.multiply.outer(node.range(0).bounds, node.range(1).bounds)
    half = 1 << (shift - 1) if shift else 0
    range_ = Range.of((ends.min() + half) >> shift, (ends.max() + half) >> shift).checked(_known(node))

    def compute(one: Tensor, other: Tensor) -> Tensor:
        result = whole(one).to(torch.int64) * whole(other)
        return (result.add_(half).bitwise_right_shift_(shift) if shift else result).to(torch.int32)

    return Lowered(compute, range_, reads=2)


@lowers("EQUAL", "GREATER", "GREATER_EQUAL")
def comparison(node: Node) -> Lowered:
    """Of two tensors: true or false."""
    function = _COMPARISONS[node.operation.name]
    return Lowered(lambda one, other: function(whole(one), whole(other)), Range.of(0, 1), reads=2)


@lowers("SELECT")
def select(node: Node) -> Lowered:
    """Of the second where the first is true, of the third elsewhere."""
    low, high = zip(node.range(1).bounds, node.range(2).bounds, strict=True)
    return Lowered(
        lambda where, one, other: torch.where(where, whole(one), whole(other)),
        Range.of(min(low), max(high)).checked(_known(node)),
        reads=3,
    )


@lowers("NEGATE")
def negate(node: Node) -> Lowered:
    """``-(x - zero) + zero'``, kept within the type."""
    kind, total = _known(node), node.scalar(1) + node.scalar(2)
    low, high = node.range().bounds
    return Lowered(
        lambda numbers: (total - whole(numbers).to(torch.int64)).clamp_(*LIMITS[kind]).to(TYPES[kind]),
        Range.of(total - high, total - low).within(*LIMITS[kind]),
    )


@lowers("ABS")
def absolute(node: Node) -> Lowered:
    """Without the sign."""
    low, high = node.range().bounds
    largest = max(abs(low), abs(high))
    return Lowered(lambda numbers: numbers.abs(), Range.of(0, largest).checked(_known(node)))


@lowers("CLAMP")
def clamp(node: Node) -> Lowered:
    """Kept between two numbers."""
    number = np.dtype(f"i{TYPES[_known(node)].itemsize}")
    low, high = (
        int(np.frombuffer(bytes(node.attribute(name))[: number.itemsize], number)[0]) for name in ("MinVal", "MaxVal")
    )
    return Lowered(lambda numbers: numbers.clamp(low, high), node.range().within(low, high))


@lowers("TABLE")
def table(node: Node) -> Lowered:
    """A number for every one of 256; in 16 bits for every 128th, and what lies between is interpolated."""
    entries = node.integers(1)
    kind = node.input(0).type
    if kind == "INT8":
        rolled = torch.from_numpy(np.roll(entries, -128)).to(TYPES[_known(node)])  # by the byte without its sign
        return Lowered(
            lambda numbers: rolled[numbers.contiguous().view(torch.uint8).to(torch.int32)],
            Range.of(entries.min(), entries.max()),
        )
    if kind != "INT16":
        node.unknown(f"of {kind}")
    return Lowered(_interpolated(entries), Range.of(entries.min() << 7, entries.max() << 7).checked("INT32"))


def _interpolated(entries: Integers) -> Callable[[Tensor], Tensor]:
    numbers_at = torch.from_numpy(entries)
    slopes = torch.from_numpy(np.diff(entries, append=entries[-1:]))

    def compute(numbers: Tensor) -> Tensor:
        place = numbers.to(torch.int64)
        part = place & 127
        place = (place >> 7) + 256
        return ((numbers_at[place] << 7) + slopes[place] * part).to(torch.int32)

    return compute


@lowers("CAST")
def cast(node: Node) -> Lowered:
    """To a type that holds the numbers."""
    kind = _known(node)
    return Lowered(lambda numbers: numbers.to(TYPES[kind]), node.range().checked(kind))


@lowers("REDUCE_SUM", "REDUCE_MAX", "REDUCE_MIN")
def reduce(node: Node) -> Lowered:
    """Along one dimension, which stays with a length of 1."""
    axis = node.attribute("Axis")
    low, high = node.range().bounds
    if node.operation.name != "REDUCE_SUM":
        function = torch.amax if node.operation.name == "REDUCE_MAX" else torch.amin
        return Lowered(lambda numbers: function(numbers, axis + 1, keepdim=True), Range.of(low, high))
    count = node.input(0).shape[axis]
    range_ = Range.of(low * count, high * count).checked(_known(node))
    return Lowered(lambda numbers: whole(numbers).sum(axis + 1, keepdim=True, dtype=torch.int32), range_)


@lowers("ARGMAX")
def largest(node: Node) -> Lowered:
    """The first place of the largest number along one dimension, which goes."""
    axis = node.attribute("Axis")
    return Lowered(
        lambda numbers: whole(numbers).argmax(axis + 1).to(torch.int32), Range.of(0, node.input(0).shape[axis])
    )


@lowers("IDENTITY")
def identity(node: Node) -> Lowered:
    """As it is."""
    return Lowered(lambda numbers: numbers, node.range())


@lowers("RESHAPE")
def reshape(node: Node) -> Lowered:
    """The same numbers in another shape."""
    shape = node.output.shape
    return Lowered(lambda numbers: numbers.reshape(len(numbers), *shape), Range.of(*node.range().bounds))


@lowers("TRANSPOSE")
def transpose(node: Node) -> Lowered:
    """Dimensions in another order."""
    order = [0, *(axis + 1 for axis in node.attribute("Perms"))]
    return Lowered(lambda numbers: numbers.permute(order), Range.of(*node.range().bounds))


@lowers("REVERSE")
def reverse(node: Node) -> Lowered:
    """One dimension backwards."""
    axis = node.attribute("Axis")
    return Lowered(lambda numbers: numbers.flip(axis + 1), Range.of(*node.range().bounds))


@lowers("TILE")
def tile(node: Node) -> Lowered:
    """Repeated along each dimension."""
    times = [1, *node.integers(1).tolist()]
    return Lowered(lambda numbers: numbers.repeat(times), Range.of(*node.range().bounds))


@lowers("SLICE")
def part(node: Node) -> Lowered:
    """A stretch of each dimension."""
    starts, sizes = node.integers(1).tolist(), node.integers(2).tolist()
    stretches = (slice(None), *(slice(start, start + size) for start, size in zip(starts, sizes, strict=True)))
    return Lowered(lambda numbers: numbers[stretches], Range.of(*node.range().bounds))


@lowers("PAD")
def pad(node: Node) -> Lowered:
    """One number around."""
    widths, number = node.integers(1).reshape(-1, 2).tolist(), node.scalar(2)
    around = [width for pair in reversed(widths) for width in pair]
    low, high = node.range().bounds
    return Lowered(
        lambda numbers: torch.nn.functional.pad(numbers, around, value=number),
        Range.of(min(low, number), max(high, number)),
    )


@lowers("CONCAT")
def concat(node: Node) -> Lowered:
    """Several, one behind the other."""
    axis = node.attribute("Axis")
    count = len(node.operation.inputs)
    low, high = zip(*(node.range(place).bounds for place in range(count)), strict=True)

    def compute(*parts: Tensor) -> Tensor:
        longest = max(map(len, parts))  # a constant is there once
        return torch.cat([each.expand(longest, *each.shape[1:]) for each in parts], axis + 1)

    return Lowered(compute, Range.of(min(low), max(high)), reads=count)
