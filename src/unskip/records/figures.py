"""Figures, what they are figures of, and how two of them compare."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """A part of a JSON file. Unknown keys are left alone, so that an older report reads a newer file."""

    model_config = ConfigDict(frozen=True, defer_build=True)  # until a class is used: a command uses few


class About(Record):
    """What a figure is, as its measure says it: all that a table needs to know to have a column for it.

    ``unit``: ``bytes``, ``count``, ``share`` (0 to 1), ``relative`` (a small number) are written in the reader's
    scale, any other word as it stands. ``kind`` puts columns together.
    """

    title: str
    unit: str
    better: Literal["lower", "higher"]
    kind: Literal["answers", "time", "memory", "size", "file"]
    definition: str


class Figure(Record):
    """What was measured, in its measure's unit; ``value`` is None where ``unknown`` says why there is none.

    ``low`` and ``high`` are the 10th and the 90th percentile of ``samples``, of which there is one for every round, in
    their order. ``images`` were looked at; ``allowed`` is the most (or least) that was acceptable; ``remark`` must be
    known to read it.
    """

    value: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    images: int | None = None
    allowed: FiniteFloat | None = None
    samples: tuple[FiniteFloat, ...] = ()
    remark: str | None = None
    unknown: str | None = None

    @classmethod
    def of_samples(cls, samples: Sequence[float]) -> Self:
        """The median of one figure a round, with its spread."""
        spread = _spread(samples)
        return cls(value=spread.pop("median"), **spread, samples=tuple(samples))

    @classmethod
    def typical(cls, values: Sequence[float | None], unknown: str) -> Self:
        """The median of what is known, or why nothing is."""
        known = [value for value in values if value is not None]
        return cls(value=round(statistics.median(known))) if known else cls(unknown=unknown)


class _Ratio(Record):
    """The ratios of two figures within the rounds that they share: median, 10th and 90th percentile."""

    median: FiniteFloat = Field(gt=0)
    low: FiniteFloat = Field(gt=0)
    high: FiniteFloat = Field(gt=0)

    @property
    def shows_difference(self) -> bool:
        """Whether 1 lies outside of the spread; within it, no difference is shown."""
        return not self.low <= 1 <= self.high


class Speedup(_Ratio):
    """How many times as fast: the first one's time divided by this one's. Above 1 is faster."""


class TimeShare(_Ratio):
    """The part of the first one's time that this one takes. Below 1 is faster."""


def speedup(first: Figure, this: Figure) -> Speedup:
    """How many times as fast ``this`` is as the ``first``, by latencies of the same rounds."""
    return Speedup(**_ratio(first.samples, this.samples))


def time_share(first: Figure, this: Figure) -> TimeShare:
    """The part of the ``first`` one's time that ``this`` takes, by latencies of the same rounds."""
    return TimeShare(**_ratio(this.samples, first.samples))


def _ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    return _spread([a / b for a, b in zip(above, below, strict=True)])


def _spread(values: Sequence[float]) -> dict[str, float]:
    """The median and the 10th and 90th percentile."""
    return dict(zip(("median", "low", "high"), np.percentile(values, [50, 10, 90]).tolist(), strict=True))


class Operation(Record):
    """One step of inference and the bytes of feature maps alive while it runs."""

    name: str
    live_bytes: int


class Timeline(Record):
    """The live feature maps of one image over a net's operations in order, counted as ``policy`` says."""

    operations: tuple[Operation, ...] = Field(min_length=1)
    peak_bytes: int
    peak_at: str
    policy: str
