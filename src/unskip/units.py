"""Numbers as a reader wants them, one unit and one precision for those that are compared, and as a user writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from unskip.errors import UnskipError, nearest, shortened

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

    def text(self, value: float) -> str:
        """The value in this unit, with its name, as a console shows it."""
        return f"{self.number(value)} {self.name}".rstrip()

    def __call__(self, value: float) -> str:
        """The value in this unit, with its name, as a page shows it: never broken between them."""
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


def operations(count: int) -> str:
    """MACs or FLOPs: ``4.09 G``, or ``69.8 M`` for a small network."""
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"


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


def signed_number(number: float) -> str:
    """A difference in three digits, with its sign; zero has none."""
    size = f"{abs(number):.3g}"
    return size if float(size) == 0 else f"{'+' if number > 0 else MINUS}{size}"


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


_BYTES = {"B": 1, "kB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
_COUNTS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "m": 10**6, "G": 10**9, "g": 10**9}
_LARGEST = 10**18  # more than any network has of anything
_DURATION = re.compile(r"(?:(\d+\.?\d*)\s*h)?\s*(?:(\d+\.?\d*)\s*m(?:in)?)?\s*(?:(\d+\.?\d*)\s*s)?")
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*")


def bytes_from(text: str, name: str) -> int:
    """Bytes from ``4MiB`` or ``256 kB``; `UnskipError`, which says what has this ``name``, for anything else."""
    return _quantity(text, name, _BYTES, "4MiB")


def count_from(text: str, name: str) -> int:
    """A number from ``5M``, ``1.2G`` or ``250000``; `UnskipError`, which says what has this ``name``, otherwise."""
    return _quantity(text, name, _COUNTS, "5M")


def seconds_from(text: str, name: str) -> float:
    """Seconds from ``45m``, ``1.5h`` or ``1h30m``; `UnskipError`, which says what has this ``name``, otherwise."""
    parts = _DURATION.fullmatch(text.strip().lower()) if len(text) < 50 else None
    if parts is None or not any(parts.groups()):
        raise UnskipError(f"`{name}` {shortened(text)}: expected hours, minutes or seconds, such as 4h, 45m or 1h30m")
    seconds = sum(float(number or 0) * size for number, size in zip(parts.groups(), (3600, 60, 1), strict=True))
    if not 1 <= seconds < _LARGEST:
        raise UnskipError(f"`{name}` {text}: expected a second or more")
    return seconds


def _quantity(text: str, name: str, units: Mapping[str, int], example: str) -> int:
    match = _QUANTITY.fullmatch(text) if len(text) < 50 else None
    if match is None:
        raise UnskipError(f"`{name}` {shortened(text)}: expected a number and a unit, such as {example}")
    unit = match[2]
    if unit not in units:
        like = next((known for known in units if known.lower() == unit.lower()), unit)
        wrong = f"no unit {unit!r}{nearest(like, units)}" if unit else f"say in which unit, such as {example}"
        raise UnskipError(f"`{name}` {text}: {wrong} (known: {', '.join(filter(None, units))})")
    value = float(match[1]) * units[unit]
    if not 1 <= value < _LARGEST:
        raise UnskipError(f"`{name}` {text}: expected 1 or more{', and less than 10^18' * (value >= _LARGEST)}")
    return math.floor(value)


def writer(unit: str, values: Sequence[float]) -> tuple[str, Callable[[float], str]]:
    """The scale that suits all ``values`` of a measure with this ``unit``: its name, and how a value is written."""
    largest = max(values, default=0)
    match unit:
        case "bytes" | "count":
            scale = (byte_unit if unit == "bytes" else count_unit)([largest])
            return scale.name, scale.number
        case "share":
            return "%", lambda value: f"{100 * value:.2f}"
        case "relative":
            return unit, small
        case "seconds":
            return "time", duration
    decimals = 3 if largest < 1 else 2 if largest < 100 else 1 if largest < 1000 else 0
    return unit, lambda value: f"{value:,.{decimals}f}"
