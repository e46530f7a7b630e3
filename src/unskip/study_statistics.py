"""What a study's figures come to over seeds: means and their spread, paired differences, and whether conclusions show.

Everything here is a function of :class:`~unskip.records.Study`, in the units of its entries.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unskip.records import Conclusion, Counted, Derived, Entry, Study
from unskip.records.study import Value

Verdict = Literal["holds", "reversed", "not shown"]

CONFIDENCE = 0.95

_DECIMALS = 9  # beyond which a difference of figures in per cent or minutes is rounding


@dataclass(frozen=True)
class Spread:
    """The mean of ``n`` figures and their sample standard deviation ``sd``, which one alone does not have."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of ``n`` differences, each within a seed, and the interval of ``CONFIDENCE`` around it.

    The interval is Student's: ``mean ± t(n - 1) sd / sqrt(n)``. One difference alone has none.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def verdict(self) -> Verdict:
        """Whether it is above 0, below, or neither can be said."""
        if self.low is None or self.high is None:
            return "not shown"
        return "holds" if self.low > 0 else "reversed" if self.high < 0 else "not shown"


@dataclass(frozen=True)
class Compared:
    """A conclusion in one ``place``, which is a column where rows are compared and the other way round.

    ``place`` is None for all ``places`` together. Differences are counted so that above 0 means that the paper's
    conclusion holds; ``printed`` is the paper's own. ``difference`` is None where no seed has both figures.
    """

    place: str | None
    places: int
    value: Value
    difference: Difference | None
    printed: float | None

    @property
    def verdict(self) -> Verdict:
        """Whether the conclusion shows."""
        return self.difference.verdict if self.difference else "not shown"


@dataclass(frozen=True)
class Count:
    """In which of the columns that have a figure it is within the limits: those measured, and those printed."""

    within: tuple[str, ...]
    measured: int
    printed_within: tuple[str, ...]
    printed: int


def spread_of(figures: Iterable[float]) -> Spread | None:
    """Mean, sample standard deviation and number; None where there are no figures."""
    values = list(figures)
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def gap_of(entry: Entry | Derived) -> float | None:
    """How much the mean is above what is printed; None where one of the two is missing."""
    spread = spread_of(entry.measured.values())
    return None if spread is None or entry.printed is None else spread.mean - entry.printed


def paired(figures: Mapping[int, float], minus: Mapping[int, float]) -> Difference | None:
    """By how much ``figures`` are above ``minus``, within the seeds that both have; None where there is none."""
    return _difference([value - minus[seed] for seed, value in figures.items() if seed in minus])


def _difference(differences: Sequence[float]) -> Difference | None:
    spread = spread_of(round(difference, _DECIMALS) for difference in differences)
    if spread is None:
        return None
    if spread.sd is None:
        return Difference(spread.mean, None, None, 1)
    from scipy.special import stdtrit  # for long: what prints no interval starts without

    half = float(stdtrit(spread.n - 1, (1 + CONFIDENCE) / 2)) * spread.sd / math.sqrt(spread.n)
    return Difference(spread.mean, spread.mean - half, spread.mean + half, spread.n)


def derive(
    row: str,
    entries: Sequence[Entry | Derived],
    *,
    minus: str,
    of: str | None = None,
    best: str | None = None,
    printed: Mapping[str, float] | None = None,
) -> tuple[Derived, ...]:
    """A row that is computed column by column, within each seed: ``of``, or the best row, less ``minus``.

    ``best`` is a pattern of rows in which ``*`` stands for any text; of those the one with the best mean over its seeds
    is taken, then that row's seeds. ``printed`` has the paper's figures by column. A column without the two rows,
    measured or not, is left out.
    """
    assert (of is None) != (best is None), "either a row, or a pattern of rows"
    derived = []
    for column in dict.fromkeys(entry.column for entry in entries):
        rows = {entry.row: entry for entry in entries if entry.column == column}
        chosen = of if best is None else _best([rows[name] for name in rows if matches(name, best)])
        if chosen not in rows or minus not in rows:
            continue
        left, right = rows[chosen].measured, rows[minus].measured
        derived.append(
            Derived(
                row=row,
                column=column,
                value=rows[chosen].value,
                printed=(printed or {}).get(column),
                measured={seed: round(left[seed] - right[seed], _DECIMALS) for seed in left if seed in right},
                of=chosen,
                minus=minus,
                best=best,
            )
        )
    return tuple(derived)


def matches(row: str, pattern: str) -> bool:
    """Whether a row's name is of a pattern in which ``*`` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), row, re.DOTALL) is not None


def _best(row_entries: Sequence[Entry | Derived]) -> str | None:
    """The row with the best mean; the first of equals, and the first of all where none is measured."""
    measured = [entry for entry in row_entries if entry.measured]
    best = max(measured, key=lambda entry: sign_of(entry) * statistics.fmean(entry.measured.values()), default=None)
    return best.row if best else row_entries[0].row if row_entries else None


def sign_of(entry: Entry | Derived) -> Literal[1, -1]:
    """1 where more is better, -1 where less is."""
    return 1 if entry.value == "top1" else -1


def count(study: Study, counted: Counted) -> Count:
    """In which columns the row's mean, and the printed figure, are within the limits."""
    means, printed = {}, {}
    for column in study.columns:
        entry = study.at(counted.row, column)
        if entry is not None and entry.measured:
            means[column] = statistics.fmean(entry.measured.values())
        if entry is not None and entry.printed is not None:
            printed[column] = entry.printed
    within, printed_within = (
        tuple(column for column, value in values.items() if _is_within(value, counted)) for values in (means, printed)
    )
    return Count(within, len(means), printed_within, len(printed))


def _is_within(value: float, counted: Counted) -> bool:
    below = counted.below is None or value < counted.below
    return below and (counted.above is None or value > counted.above)


def compare(study: Study, conclusion: Conclusion) -> tuple[Compared, ...]:
    """A conclusion in every column, then in all of them together; between columns, in every row.

    Together: within each seed the mean over those columns that have figures of both rows, in the seeds that all of
    these columns have. So there are as many differences as seeds: the columns, which may share trainings, are not
    taken for so many repetitions. Figures of different units are not put together.
    """
    pairs = _pairs(study, conclusion)
    compared = [_compared(place, better, than) for place, (better, than) in pairs.items()]
    values: dict[Value, list[tuple[Entry | Derived, Entry | Derived]]] = {}
    for better, than in pairs.values():
        if better.measured.keys() & than.measured.keys():
            values.setdefault(better.value, []).append((better, than))
    for value, those in values.items():
        if len(those) > 1:
            compared.append(_together(value, those))
    return tuple(compared)


def _pairs(study: Study, conclusion: Conclusion) -> dict[str, tuple[Entry | Derived, Entry | Derived]]:
    """What is compared by where it stands; empty where the study has no such rows, and no such columns."""
    by_rows = {conclusion.better, conclusion.than} <= set(study.rows)
    pairs = {}
    columns = [column for column in study.columns if matches(column, conclusion.columns or "*")]
    for place in columns if by_rows else study.rows:
        both = [
            study.at(*((each, place) if by_rows else (place, each))) for each in (conclusion.better, conclusion.than)
        ]
        if both[0] is not None and both[1] is not None and both[0].value == both[1].value:
            pairs[place] = (both[0], both[1])
    return pairs


def _compared(place: str, better: Entry | Derived, than: Entry | Derived) -> Compared:
    sign, printed = sign_of(better), None
    if better.printed is not None and than.printed is not None:
        printed = sign * (better.printed - than.printed)
    signed = [{seed: sign * value for seed, value in each.measured.items()} for each in (better, than)]
    return Compared(place, 1, better.value, paired(*signed), printed)


def _together(value: Value, those: Sequence[tuple[Entry | Derived, Entry | Derived]]) -> Compared:
    seeds = set.intersection(*({*better.measured} & {*than.measured} for better, than in those))
    means = [
        statistics.fmean(sign_of(better) * (better.measured[seed] - than.measured[seed]) for better, than in those)
        for seed in sorted(seeds)
    ]
    printed_values = [
        sign_of(better) * (better.printed - than.printed)
        for better, than in those
        if better.printed is not None and than.printed is not None
    ]
    printed = statistics.fmean(printed_values) if len(printed_values) == len(those) else None
    return Compared(None, len(those), value, _difference(means), printed)
