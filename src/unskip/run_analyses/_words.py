"""Figures over seeds, in words and as what papers claim of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from unskip.records.run_analysis import Claim
from unskip.study_statistics import paired, spread_of

BySeed = Mapping[int, float]  # a figure of a network, by the seeds of its runs


def mean_and_spread(figures: BySeed, digits: int = 3) -> str:
    """``1.23 ± 0.04``, the mean and the sample standard deviation; a dash where there is no figure."""
    spread = spread_of(figures.values())
    if spread is None:
        return "\N{EN DASH}"
    mean = f"{spread.mean:.{digits}g}"
    return mean if spread.sd is None else f"{mean} \N{PLUS-MINUS SIGN} {spread.sd:.{max(1, digits - 1)}g}"


def mean_of(figures: BySeed) -> float | None:
    """The mean, None where there is no figure."""
    spread = spread_of(figures.values())
    return None if spread is None else spread.mean


def half_band(figures: BySeed) -> float | None:
    """The sample standard deviation, None where there are not two figures."""
    spread = spread_of(figures.values())
    return None if spread is None else spread.sd


def seeds_in_words(seeds: Sequence[int]) -> str:
    """``mean ± sample standard deviation over 3 seeds``, or that there is one."""
    count = len(set(seeds))
    return "one seed" if count == 1 else f"mean ± sample standard deviation over {count} seeds"


def claim(
    statement: str,
    source: str,
    figure: str,
    better: tuple[str, BySeed | None],
    than: tuple[str, BySeed | None],
    *,
    when: str = "",
) -> Claim:
    """What a paper says, that a figure of one network is above another's, and whether it shows in the seeds of both.

    A network comes with its figures, of its end or of ``when``; they are None where these runs have none such.
    """
    named = {
        "statement": statement,
        "source": source,
        "figure": figure,
        "better": better[0],
        "than": than[0],
        "when": when,
    }
    if better[1] is None or than[1] is None:
        missing = better[0] if better[1] is None else than[0]
        return Claim(**named, verdict="not shown", why=f"these runs have no {missing}")
    difference = paired(better[1], than[1])
    if difference is None:
        return Claim(**named, verdict="not shown", why="no seed has both")
    bounds = {"low": difference.low, "high": difference.high, "seeds": difference.n}
    return Claim(**named, verdict=difference.verdict, mean=difference.mean, **bounds)


def as_they_are(figures: BySeed) -> BySeed:
    """The figures themselves."""
    return figures


def logarithms(figures: BySeed) -> BySeed:
    """Powers of ten of figures above 0; the others are left out."""
    return {seed: math.log10(value) for seed, value in figures.items() if value > 0}
