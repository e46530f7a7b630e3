"""Integers multiplied by a rational number and rounded: TOSA's ``apply_scale_32``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from unskip.runtimes._tosa.lowering import LIMITS, Integers, Lowered, Node, Range, UnknownOperationError, lowers

TYPES = {"INT8": torch.int8, "INT16": torch.int16, "INT32": torch.int32, "BOOL": torch.bool}
_SINGLE_ROUND, _DOUBLE_ROUND = 1, 3
_EXACT = 2.0**53  # float64 holds all integers up to here
_FINEST = 43  # with ten bits in front of the point, float64 holds so many behind it
_BYTE = 128


@lowers("RESCALE")
def rescale(node: Node) -> Lowered:
    """``clamp(((x - zero) * multiplier + half) >> shift) + zero'``, by tensor or by channel."""
    if not node.attribute("Scale32") or node.attribute("InputUnsigned") or node.attribute("OutputUnsigned"):
        node.unknown("of 16 bits, or without signs")
    rounding = node.attribute("RoundingMode")
    if rounding not in (_SINGLE_ROUND, _DOUBLE_ROUND):
        node.unknown("with a rounding of the device's own")
    if node.input(0).type not in LIMITS or node.output.type not in LIMITS:
        node.unknown(f"from {node.input(0).type} to {node.output.type}")
    multiplier, shift = node.integers(1), node.integers(2)
    source, zeros = node.range(), (node.scalar(3), node.scalar(4))
    compute, scaled = scaling(
        multiplier, shift, source, zeros, node.output.type, double_round=rounding == _DOUBLE_ROUND
    )
    return Lowered(compute, scaled)


def scaling(
    multiplier: Integers,
    shift: Integers,
    source: Range,
    zeros: tuple[int, int],
    kind: str,
    *,
    double_round: bool = False,
) -> tuple[Callable[[Tensor], Tensor], Range]:
    """A function that scales, and the range of what it gives; ``zeros`` are those of what comes and of what goes.

    Multipliers and shifts are arrays that fit the last dimensions of the tensors. Raises `UnknownOperationError` where
    the scaled numbers could leave 32 bits.
    """
    limits = LIMITS[kind]
    ends = [
        _scaled(end, multiplier, shift, double_round=double_round)
        for end in (source.low - zeros[0], source.high - zeros[0])
    ]
    scaled = Range.of(*ends).checked("INT32")
    moved = Range(scaled.low + zeros[1], scaled.high + zeros[1])
    if kind == "INT32":
        moved.checked(kind)
    product = (source.reach() + abs(zeros[0])).astype(np.float64) * multiplier  # of floats: only its size matters
    exact = product + (abs(zeros[1]) + _BYTE + 1.0) * 2.0**shift < _EXACT * (1 - 1e-9)
    if kind == "INT8" and zeros[0] == 0:
        exact |= shift <= _FINEST  # what is too large to be exact is beyond 8 bits too
    if not exact.all() or double_round or kind not in ("INT8", "INT32"):
        return _by_integers(multiplier, shift, zeros, kind, double_round=double_round), moved.within(*limits)
    return _by_floats(multiplier, shift, zeros, kind), moved.within(*limits)


def _scaled(numbers: Integers, multiplier: Integers, shift: Integers, *, double_round: bool) -> Integers:
    half = np.int64(1) << (shift - 1)
    if double_round:
        half = half + np.where(shift > 31, np.where(numbers >= 0, 1 << 30, -(1 << 30)), 0)
    result: Integers = (numbers * multiplier + half) >> shift
    return result


def _by_integers(
    multiplier: Integers, shift: Integers, zeros: tuple[int, int], kind: str, *, double_round: bool
) -> Callable[[Tensor], Tensor]:
    factors, shifts, halves = (torch.from_numpy(np.array(each)) for each in (multiplier, shift, 1 << (shift - 1)))
    extra = torch.where(shifts > 31, 1 << 30, 0)

    def compute(numbers: Tensor) -> Tensor:
        result = numbers.to(torch.int64) - zeros[0]
        rounding = halves + torch.where(result >= 0, extra, -extra) if double_round else halves
        result.mul_(factors).add_(rounding).bitwise_right_shift_(shifts).add_(zeros[1])
        return result.clamp_(*LIMITS[kind]).to(TYPES[kind])

    return compute


def _by_floats(multiplier: Integers, shift: Integers, zeros: tuple[int, int], kind: str) -> Callable[[Tensor], Tensor]:
    """Every product and sum is a float64 without rounding, which is several times as fast as 64-bit integers."""
    factor = multiplier * 2.0**-shift
    offset = 0.5 + zeros[1] - zeros[0] * factor
    factors = torch.from_numpy(np.atleast_1d(factor))

    if kind == "INT8":  # truncation is floor where nothing is negative
        offsets = torch.from_numpy(np.atleast_1d(offset + _BYTE))

        def to_bytes(numbers: Tensor) -> Tensor:
            result = (numbers * factors).add_(offsets).clamp_(0, 2 * _BYTE - 0.5)
            return result.to(torch.uint8).bitwise_xor_(_BYTE).view(torch.int8)

        return to_bytes

    offsets = torch.from_numpy(np.atleast_1d(offset))
    return lambda numbers: (numbers * factors).add_(offsets).floor_()


def reciprocal(counts: Integers) -> tuple[Integers, Integers]:
    """Multipliers and shifts that divide by ``counts``: TOSA's ``reciprocal_scale``."""
    if (counts < 1).any():
        raise UnknownOperationError("an average of nothing")
    exponent = np.array([int(count - 1).bit_length() for count in counts.flat], np.int64).reshape(counts.shape)
    return (((1 << 30) + 1) << exponent) // counts, 30 + exponent
