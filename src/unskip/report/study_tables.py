"""What a study's figures say: facts for its sentences, and its tables, the paper's figures beside those measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unskip.records import About, Conclusion, Counted, Derived, Study, StudyCell
from unskip.records import Entry as Figures
from unskip.records.study import Value
from unskip.report.svg import NUM_COLORS
from unskip.report.table import DASH, Entry, Row, RowContent, Table
from unskip.study_statistics import Compared, Count, Spread, compare, count, gap_of, spread_of
from unskip.units import MINUS

UNITS: dict[Value, str] = {"top1": "top-1 accuracy, %", "error": "top-1 error, %", "minutes": "training, minutes"}
DIFFERENCES: dict[Value, str] = {"top1": "points", "error": "points of error", "minutes": "minutes"}
_LONG = 10  # minutes, from which on one decimal is enough
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True)
class Compare:
    """A conclusion, place by place, and what sums it up: all places together, or the only one that there is."""

    conclusion: Conclusion
    places: tuple[Compared, ...]

    @property
    def title(self) -> str:
        """The conclusion in a few words."""
        columns = self.conclusion.columns
        where = "" if columns is None else f" in {columns.replace('*', _ELLIPSIS)}"
        word = "less" if {each.value for each in self.places} == {"minutes"} else "better"
        return f"{self.conclusion.better} {word} than {self.conclusion.than}{where}"

    @property
    def sums(self) -> tuple[Compared, ...]:
        """One for each unit, of all places together; those places that stand alone."""
        together = [each for each in self.places if each.place is None]
        values = {each.value for each in together}
        return (*together, *(each for each in self.places if each.value not in values and each.difference))

    def having(self, verdict: str) -> int:
        """In how many places it is so."""
        return sum(each.verdict == verdict for each in self.places if each.place is not None)


@dataclass(frozen=True)
class Facts:
    """What can be said of a study: cells without results, the paper's conclusions, what is counted, nets at chance."""

    failed: tuple[StudyCell, ...]
    missing: tuple[StudyCell, ...]
    conclusions: tuple[Compare, ...]
    counts: tuple[tuple[Counted, Count], ...]
    at_chance: tuple[Figures, ...]


def facts_of(study: Study) -> Facts:
    """The facts of a study."""
    failed, missing = (tuple(cell for cell in study.cells if cell.state == state) for state in ("failed", "missing"))
    conclusions = tuple(Compare(each, compare(study, each)) for each in study.conclusions)
    at_chance = tuple(entry for entry in study.entries if entry.at_chance and entry.value != "minutes")
    return Facts(failed, missing, conclusions, tuple((each, count(study, each)) for each in study.counted), at_chance)


def colors_by_row(study: Study) -> dict[str, int]:
    """The number of the colour of every row that has a curve."""
    rows = dict.fromkeys(entry.row for entry in study.entries if entry.curve)
    return {row: 1 + place % (NUM_COLORS - 1) for place, row in enumerate(rows)}


def figures_table(study: Study, *, short: bool = False) -> Table:
    """The paper's table: in every place the mean, its spread and number of seeds, what is printed, and the gap.

    ``short`` puts the same on two lines. A quick form has no gap: what is printed belongs to other networks.
    """
    usual, kinds = usual_value(study), {column: _values(study, column=column) for column in study.columns}
    by_column = all(len(each) <= 1 for each in kinds.values())
    columns = [
        _head(column, *(UNITS[each] for each in kinds[column] if by_column and each != usual)) for column in kinds
    ]
    colors, rows = colors_by_row(study), []
    for row in study.rows:
        there = [study.at(row, column) for column in study.columns]
        values = [] if by_column else _values(study, row=row)
        entries = [_entry(each, study, short, len(values) > 1) if each else ("",) for each in there]
        unit = [UNITS[each] for each in values if values != [usual] and len(values) == 1]
        about = "; ".join((*unit, *_computed(row, study)))
        rows.append(Row(RowContent(row, about, color=None if short else colors.get(row)), tuple(entries)))
    return Table("", tuple(columns), tuple(rows), ())


def usual_value(study: Study) -> Value:
    """What most figures are; rows and columns of others say so."""
    values = [entry.value for entry in study.entries]
    return max(values, key=values.count, default="top1")


def _values(study: Study, row: str | None = None, column: str | None = None) -> list[Value]:
    """What the figures of a row or a column are."""
    there = [entry for entry in study.entries if row in (None, entry.row) and column in (None, entry.column)]
    return list(dict.fromkeys(entry.value for entry in there))


def _head(title: str, unit: str = "") -> About:
    return About(title=title, unit=unit, better="higher", kind="answers", definition="")


def _computed(row: str, study: Study) -> list[str]:
    """How a row is computed, in the words of its columns; nothing for one that is read from runs."""
    words = [
        f"{each.of if each.best is None else f'best of {each.best}'} less {each.minus}, {DIFFERENCES[each.value]}"
        for each in study.derived
        if each.row == row
    ]
    return list(dict.fromkeys(words))


def _entry(figures: Figures | Derived, study: Study, short: bool, tell_unit: bool) -> Entry:
    digits, unit = _minute_digits(study) if figures.value == "minutes" else 2, UNITS[figures.value] if tell_unit else ""
    write = signed(digits) if isinstance(figures, Derived) else plain(digits)
    spread, gap = spread_of(figures.measured.values()), gap_of(figures)
    printed = "" if figures.printed is None else _printed(figures.printed, write, figures.value)
    gap_text = "" if gap is None or study.quick else signed(digits)(gap)
    if short:
        below = ", ".join(filter(None, (printed, gap_text)))
        return tuple(filter(None, (mean_text(spread, write, digits), below, unit)))
    lines = [write(spread.mean), _spread_text(spread, digits)] if spread else [DASH]
    lines += [f"{'full form' if study.quick else 'printed'} {printed}"] * bool(printed)
    lines += [f"gap {gap_text}"] * bool(gap_text)
    if isinstance(figures, Derived) and figures.best is not None and figures.measured:
        lines.append(figures.of)
    if isinstance(figures, Figures) and figures.at_chance and figures.value != "minutes":
        lines.append(f"at chance in {len(figures.at_chance)} of {len(figures.measured)}")
    return tuple(filter(None, (*lines, unit)))


def _minute_digits(study: Study) -> int:
    """The decimals of minutes, one precision for all of them."""
    minutes = [each for entry in study.entries for each in entry.minutes.values()]
    minutes += [each for entry in study.entries if entry.value == "minutes" for each in entry.measured.values()]
    return 1 if max(minutes, default=_LONG) >= _LONG else 2


def _printed(printed: float, write: Callable[[float], str], value: Value) -> str:
    """As it is printed: with more decimals than ours where it has more, whole minutes where they are whole."""
    text = write(printed)
    exact = float(text.replace(MINUS, "-").replace(",", "")) == printed
    return text if exact and value != "minutes" else f"{printed:g}".replace("-", MINUS)


def plain(decimals: int) -> Callable[[float], str]:
    """A figure with so many decimals."""
    return lambda value: f"{value:,.{decimals}f}"


def signed(decimals: int) -> Callable[[float], str]:
    """A difference with its sign; zero has none."""

    def write(value: float) -> str:
        size = f"{abs(value):,.{decimals}f}"
        return size if float(size.replace(",", "")) == 0 else f"{'+' if value > 0 else MINUS}{size}"

    return write


def mean_text(spread: Spread | None, write: Callable[[float], str], decimals: int) -> str:
    """``92.93 ± 0.15 (3)``; a dash where there is nothing."""
    return f"{write(spread.mean)} {_spread_text(spread, decimals)}" if spread else DASH


def _spread_text(spread: Spread, decimals: int) -> str:
    """``± 0.15 (3)``, or of one seed alone ``(1)``."""
    number = f"({spread.n})"
    return number if spread.sd is None else f"{_PLUS_MINUS} {spread.sd:,.{decimals}f} {number}"


def conclusion_table(compared: Compare) -> Table:
    """The paired differences of a conclusion, place by place, with their intervals and what they come to."""
    units = list(dict.fromkeys(DIFFERENCES[each.value] for each in compared.places))
    unit = units[0] if len(units) == 1 else ""
    columns = [_head("Difference", unit), *map(_head, ("95 % interval", "Seeds", "Order"))]
    if any(each.printed is not None for each in compared.places):
        columns.append(_head("Printed", unit))
    rows = tuple(
        Row(
            RowContent(place_of(each), "" if unit else DIFFERENCES[each.value], color=None),
            _conclusion_entries(each)[: len(columns)],
        )
        for each in compared.places
    )
    return Table("", tuple(columns), tuple(rows), ())


def place_of(compared: Compared) -> str:
    """A column or a row, or all of them together."""
    if compared.place is not None:
        return compared.place
    return "both together" if compared.places == 2 else f"all {compared.places} together"


def _conclusion_entries(compared: Compared) -> tuple[Entry, ...]:
    difference, write = compared.difference, signed(2)
    mean, seeds = (DASH, "0") if difference is None else (write(difference.mean), str(difference.n))
    printed = DASH if compared.printed is None else write(compared.printed)
    return (mean,), (interval_of(compared),), (seeds,), (compared.verdict,), (printed,)


def interval_of(compared: Compared) -> str:
    """``+0.21 to +1.09``; a dash where there is none."""
    difference, write = compared.difference, signed(2)
    if difference is None or difference.low is None or difference.high is None:
        return DASH
    return f"{write(difference.low)} to {write(difference.high)}"


def minutes_table(study: Study) -> Table | None:
    """Minutes of training by network; None where none is known."""
    trained = [entry for entry in study.entries if entry.minutes]
    columns = [column for column in study.columns if any(entry.column == column for entry in trained)]
    if not trained:
        return None
    rows, digits = [], _minute_digits(study)
    for row in dict.fromkeys(entry.row for entry in trained):
        there = {entry.column: entry.minutes for entry in trained if entry.row == row}
        spreads = [spread_of(there.get(column, {}).values()) for column in columns]
        entries = tuple((plain(digits)(each.mean), _spread_text(each, digits)) if each else (DASH,) for each in spreads)
        rows.append(Row(RowContent(row, color=colors_by_row(study).get(row)), entries))
    return Table("", tuple(map(_head, columns)), tuple(rows), ())
