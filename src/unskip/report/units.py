"""Numbers as a reader wants them: one unit and one precision for the numbers that are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "Unit",
    "byte_unit",
    "count_unit",
    "duration",
    "milliseconds",
    "percent",
    "points",
    "signed_points",
    "small",
    "times",
]

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Unit:
    """A scale, its name, and the decimals to print."""

    name: str
    size: float
    decimals: int

    def number(self, value: float) -> str:
        """The value in this unit, without its name."""
        return f"{value / self.size:,.{self.decimals}f}"

    def __call__(self, value: float) -> str:
        """The value in this unit, with its name."""
        return f"{self.number(value)}{SPACE}{self.name}".rstrip()


def _unit(values: Iterable[float], names: tuple[str, ...], base: int) -> Unit:
    largest = max(values)
    power = max((p for p in range(len(names)) if largest >= base**p), default=0)
    decimals = 0 if power == 0 else 1 if largest / base**power >= 100 else 2
    return Unit(names[power], float(base**power), decimals)


def byte_unit(values: Iterable[float]) -> Unit:
    """The binary unit that suits the largest value."""
    return _unit(values, ("B", "KiB", "MiB", "GiB"), 1024)


def count_unit(values: Iterable[float]) -> Unit:
    """Thousands, millions or billions, whichever suits the largest value."""
    return _unit(values, ("", "thousand", "million", "billion"), 1000)


def percent(share: float) -> str:
    """A share of 1 as a percentage."""
    return f"{100 * share:.1f}{SPACE}%"


def points(share: float, decimals: int = 1) -> str:
    """The size of a difference between two shares, in percentage points."""
    return f"{abs(100 * share):.{decimals}f}"


def signed_points(share: float, decimals: int = 1) -> str:
    """A difference between two shares, in percentage points, with its sign; zero has none."""
    size = points(share, decimals)
    if float(size) == 0:
        return size
    return f"+{size}" if share > 0 else f"{MINUS}{size}"


def times(ratio: float) -> str:
    """A factor."""
    return f"{ratio:.2f}\N{MULTIPLICATION SIGN}"


def milliseconds(value: float) -> str:
    """A latency with three digits or so, without its unit."""
    return f"{value:.{3 if value < 1 else 2 if value < 100 else 1}f}"


def small(value: float) -> str:
    """A small number in powers of ten, with a short exponent: 2.1e-6."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("e-", f"e{MINUS}")


def duration(seconds: float) -> str:
    """Seconds as the two largest units that matter: 42 s, 3 min 20 s, 1 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
