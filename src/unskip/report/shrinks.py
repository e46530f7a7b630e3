"""What a shrink found: facts for its sentences, and teacher and winner side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unskip.chance import is_at_chance
from unskip.records import About, Figure, Shrink
from unskip.records.shrink import ACCURACY_DROP
from unskip.report.findings import Difference
from unskip.report.table import DASH, SAME, Entry, Row, RowContent, Table, compared, in_sentence
from unskip.units import signed_points, writer


@dataclass(frozen=True)
class Limited:
    """A limit beside what was measured, both as they are written. ``close``: the figure's spread covers the limit."""

    title: str
    value: str
    limit: str
    met: bool
    close: bool = False


def limited(record: Shrink, figures: Mapping[str, Figure]) -> list[Limited]:
    """The limits beside figures, those that are exceeded first; that on accuracy is not among them."""
    met = record.met_by(dict(figures))
    facts = [_limited(record.measures[name], figures.get(name, Figure()), record.most[name], met[name]) for name in met]
    return sorted(facts, key=lambda each: each.met)


def _limited(about: About, figure: Figure, most: float, met: bool) -> Limited:
    unit, write = writer(about.unit, [most, *([] if figure.value is None else [figure.value])])
    value = "not known" if figure.value is None else f"{write(figure.value)} {unit}".strip()
    close = figure.low is not None and figure.high is not None and figure.low <= most < figure.high
    return Limited(about.title, value, f"{write(most)} {unit}".strip(), met, close)


def accuracy(record: Shrink) -> Difference | None:
    """The winner's file beside the teacher; None without a winner."""
    if record.winner is None:
        return None
    images = record.data.num_test if record.data.classes else None
    return Difference(record.winner.file_score, record.teacher.score, images)


def at_chance(record: Shrink) -> list[str]:
    """Who of teacher and winner is no better than guessing, beyond the noise of the test images."""
    scores = {"the teacher": record.teacher.score}
    if record.winner is not None:
        scores["the winner's file"] = record.winner.file_score
    chance, images = record.data.chance, record.data.num_test
    return [who for who, score in scores.items() if chance is not None and is_at_chance(score, chance, images)]


def side_by_side(record: Shrink) -> Table:
    """Teacher and winner, a row for every figure; after the scores first what is limited."""
    winner = record.winner
    assert winner is not None
    title, precision = record.measures[record.metric].title, winner.precision
    own_file = record.teacher.figures.get(record.metric, Figure()).value
    least = f"at least {100 * record.teacher.score - (record.accuracy_drop or 0):.2f}"
    limit = () if record.accuracy_drop is None else (least, _kept(record.met[ACCURACY_DROP]))
    rows = (
        _scores(f"{title} of the network, %", record, record.teacher.score, winner.score),
        _scores(f"{title} of the file, {precision}, %", record, own_file, winner.file_score, limit),
        *(_measured(record, name) for name in sorted(shown_measures(record), key=lambda name: name not in record.most)),
    )
    columns = tuple(
        About(title=title, unit="", better="lower", kind="size", definition="")
        for title in ("Teacher", "Winner", "Limit")
    )
    return Table("", columns, rows, ())


def costs(record: Shrink) -> list[str]:
    """Time, memory and file of the teacher and of the winner: ``SRAM 52.00 to 44.00 KiB``; no limits, nothing equal."""
    written: list[str] = []
    if record.winner is None:
        return written
    sides = (record.teacher.figures, record.winner.figures)
    for name in shown_measures(record):
        about = record.measures[name]
        values = [side.get(name, Figure()).value for side in sides]
        known = [value for value in values if value is not None]
        if about.kind not in ("time", "memory", "file") or name in record.most or not about.unit or len(known) < 2:
            continue
        unit, write = writer(about.unit, known)
        before, after = map(write, known)
        if before != after:
            written.append(f"{in_sentence(about.title)} {before} to {after} {unit}".rstrip())
    return written


def shown_measures(record: Shrink) -> list[str]:
    """What teacher or winner have a figure of, besides the score."""
    sides = [record.teacher.figures, record.winner.figures if record.winner else {}]
    return [
        name
        for name in record.measures
        if name != record.metric and any(side.get(name, Figure()).value is not None for side in sides)
    ]


def definitions_of(record: Shrink) -> list[str]:
    """What must be known to read the figures: of all that are shown, or without a winner of what is limited."""
    names = shown_measures(record) if record.winner else record.most
    abouts = [record.measures[name] for name in dict.fromkeys((record.metric, *names))]
    # That of a relative limit is the help of its option, which does not begin with the title.
    return [
        each.definition if each.definition.startswith(each.title) else f"{each.title}: {each.definition}"
        for each in abouts
    ]


def _measured(record: Shrink, name: str) -> Row:
    about, winner = record.measures[name], record.winner
    assert winner is not None
    figures = [side.get(name, Figure()) for side in (record.teacher.figures, winner.figures)]
    most = record.most.get(name)
    unit, write = writer(about.unit, [each for each in (most, *(figure.value for figure in figures)) if each])
    teacher, own = (_entry(figure, write) for figure in figures)
    limit: Entry = ()
    if most is not None:
        fact = _limited(about, figures[1], most, record.met[name])
        limit = (write(most), _kept(fact.met, fact.close))
    label = ", ".join(filter(None, (about.title, unit)))
    beside = SAME if teacher == own != (DASH,) and not figures[1].samples else compared(figures[1], figures[0], about)
    return _row(label, teacher, own, beside, limit)


def _entry(figure: Figure, write: Callable[[float], str]) -> Entry:
    if figure.value is None:
        return (DASH,)
    spread = () if figure.low is None or figure.high is None else (f"{write(figure.low)} to {write(figure.high)}",)
    return (write(figure.value), *spread)


def _scores(label: str, record: Shrink, teacher: float | None, winner: float, limit: Entry = ()) -> Row:
    """Scores in per cent, the winner's with how far it is from the teacher's beside it, or from its network's."""
    own = DASH if teacher is None else f"{100 * teacher:.2f}"
    beside = f"{signed_points(winner - (record.teacher.score if teacher is None else teacher), decimals=2)} points"
    return _row(label, (own,), (f"{100 * winner:.2f}",), beside, limit)


def _row(label: str, teacher: Entry, winner: Entry, beside: str, limit: Entry) -> Row:
    """A row; what the winner is ``beside`` the teacher stands below its figure."""
    return Row(RowContent(label, color=None), (teacher, tuple(filter(None, (*winner, beside))), limit or ("",)))


def _kept(met: bool, close: bool = False) -> str:
    return ("kept" if met else "exceeded") + ", within the spread" * close
