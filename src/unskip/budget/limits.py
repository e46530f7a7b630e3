"""What a budget is, and how its figures are read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from unskip.errors import UnskipError
from unskip.settings import nearest, shortened

__all__ = ["ELEMENTS", "Budget", "parse_bytes", "parse_count"]

ELEMENTS: Mapping[str, int] = {"float32": 4, "int8": 1}
"""Bytes of an element of a feature map or a weight."""

_BYTES = {"B": 1, "kB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
_COUNTS = {"k": 10**3, "M": 10**6, "G": 10**9}
_LARGEST = 1e18  # more than any network has of anything
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Budget:
    """What a student may cost; None is no limit.

    ``peak_bytes`` is for the live feature maps of one image, ``file_bytes`` for the exported file, ``latency_ratio``
    for the student's time divided by the teacher's, ``latency_ms`` for one image. ``element`` names the type of feature
    maps and weights, of which `ELEMENTS` has the bytes. Raises `UnskipError` for limits that cannot be and for none.
    """

    peak_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    file_bytes: int | None = None
    latency_ratio: float | None = None
    latency_ms: float | None = None
    element: str = "float32"

    def __post_init__(self) -> None:
        if not self.forecast and not self.limits_latency:
            raise UnskipError(
                "a budget has at least one limit: `memory=4MiB`, `parameters=5M`, `macs=800M`, "
                "`file_size=20MB`, `latency_ratio=0.8` or `latency_ms=10`"
            )
        if self.element not in ELEMENTS:
            raise UnskipError(f"no element {self.element!r}; known: {', '.join(ELEMENTS)}")
        if self.latency_ratio is not None and not 0 < self.latency_ratio <= 1:
            raise UnskipError(
                f"`latency_ratio` {self.latency_ratio:g}: expected a number above 0 and up to 1, the student's time "
                "divided by the teacher's"
            )
        if self.latency_ms is not None and not (0 < self.latency_ms < math.inf):
            raise UnskipError(f"`latency_ms` {self.latency_ms:g}: expected milliseconds above 0, such as 10")
        for name, limit in self.forecast.items():
            if limit < 1:
                raise UnskipError(f"{name}: expected 1 or more, not {limit}")

    @property
    def forecast(self) -> dict[str, int]:
        """The limits of figures that are forecast, by the names that the figures have."""
        named = {
            "peak_bytes": self.peak_bytes,
            "parameters": self.parameters,
            "macs": self.macs,
            "file_bytes": self.file_bytes,
        }
        return {name: limit for name, limit in named.items() if limit is not None}

    @property
    def limits_latency(self) -> bool:
        """Whether there is a limit that only a measurement can tell."""
        return self.latency_ratio is not None or self.latency_ms is not None


def parse_bytes(text: str, option: str) -> int:
    """Bytes from ``4MiB`` or ``256 kB``; `UnskipError`, which names the option, for anything else."""
    number, unit = _quantity(text, option, "4MiB")
    if not unit:
        raise UnskipError(f"{option} {text}: say in which unit, such as {text.strip()}KiB or {text.strip()}MiB")
    if unit not in _BYTES:
        like = next((name for name in _BYTES if name.lower() == unit.lower()), unit)
        raise UnskipError(f"{option} {text}: no unit {unit!r}{nearest(like, _BYTES)} (known: {', '.join(_BYTES)})")
    return _whole(number * _BYTES[unit], text, option)


def parse_count(text: str, option: str) -> int:
    """A number from ``5M``, ``1.2G`` or ``250000``; `UnskipError`, which names the option, for anything else."""
    number, unit = _quantity(text, option, "5M")
    known = {name.lower(): size for name, size in _COUNTS.items()} | {"": 1}
    if unit.lower() not in known:
        written = ", ".join(f"1{name} for {size:,}" for name, size in _COUNTS.items())
        raise UnskipError(f"{option} {text}: no unit {unit!r}; write {written}")
    return _whole(number * known[unit.lower()], text, option)


def _quantity(text: str, option: str, example: str) -> tuple[float, str]:
    found = _QUANTITY.fullmatch(text) if len(text) < 50 else None
    if found is None:
        raise UnskipError(f"{option} {shortened(text)}: expected a number and a unit, such as {example}")
    return float(found[1]), found[2]


def _whole(value: float, text: str, option: str) -> int:
    if not 1 <= value < _LARGEST:
        raise UnskipError(f"{option} {text}: expected 1 or more{', and less than 10^18' * (value >= _LARGEST)}")
    return math.floor(value)
