"""What a budget is, and how its figures are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unskip.errors import UnskipError

__all__ = ["ELEMENTS", "Budget"]

ELEMENTS: Mapping[str, int] = {"float32": 4, "int8": 1}
"""Bytes of an element of a feature map or a weight."""


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
