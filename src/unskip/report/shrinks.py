"""What a shrink found: facts for its sentences, and its tables and plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from unskip.records import ACCURACY_DROP, About, Figure, Rung, Shrink, Trial
from unskip.report.drawings import Drawn
from unskip.report.findings import Difference
from unskip.report.pareto import Point, pareto_plot
from unskip.report.table import DASH, Entry, Line, Row, Table, build, compared
from unskip.units import byte_unit, count_unit, percent, signed_points, times, writer

_TEACHER, _WINNER, _TRIAL = 0, 1, 2  # numbers of colours
_MOST_FURTHER = 6
_CHEAPER = 0.995  # of a cost; what is nearer to it costs as much


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


def ordered(record: Shrink) -> list[Trial]:
    """The trials as tables number them from 1: the winner, then those that were trained further, the best first."""
    winner = record.winning_trial
    return sorted(record.trials, key=lambda trial: (trial is not winner, -len(trial.rungs), -(trial.score or 0)))


def side_by_side(record: Shrink) -> Table:
    """Teacher and winner, a row for every figure, with the limits."""
    winner = record.winner
    assert winner is not None
    title, precision = record.measures[record.metric].title, winner.precision
    own_file = record.teacher.figures.get(record.metric, Figure()).value
    drop = Figure(value=record.teacher.score - (record.accuracy_drop or 0) / 100)
    allowed = (f"at least {100 * (drop.value or 0):.2f}", _kept(record.met.get(ACCURACY_DROP, True)))
    scores = (record.teacher.score, winner.score), (own_file, winner.file_score)
    rows = [
        _row(f"{title} of the network", "%", *map(_share, scores[0]), _change(winner.score, record), ()),
        _row(
            f"{title} of the file, {precision}",
            "%",
            *map(_share, scores[1]),
            _change(winner.file_score, record),
            () if record.accuracy_drop is None else allowed,
        ),
        *(_measured(record, name) for name in shown_measures(record)),
    ]
    columns = tuple(
        About(title=title, unit="", better="lower", kind="size", definition="")
        for title in ("Teacher", "Winner", "Limit")
    )
    return Table("", columns, tuple(rows), ())


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
    texts = [_entry(figure, write) for figure in figures]
    limit: Entry = ()
    if most is not None:
        fact = _limited(about, figures[1], most, record.met[name])
        limit = (write(most), _kept(fact.met, fact.close))
    return _row(about.title, unit, *texts, compared(figures[1], figures[0], about), limit)


def _entry(figure: Figure, write) -> Entry:  # type: ignore[no-untyped-def]
    if figure.value is None:
        return (DASH,)
    spread = () if figure.low is None or figure.high is None else (f"{write(figure.low)} to {write(figure.high)}",)
    return (write(figure.value), *spread)


def _row(label: str, unit: str, teacher: Entry, winner: Entry, beside: str, limit: Entry) -> Row:
    """A row; what the winner is ``beside`` the teacher stands below its figure."""
    entries = teacher, tuple(filter(None, (*winner, beside))), limit or ("",)
    return Row(Line(", ".join(filter(None, (label, unit))), color=None), entries)


def _share(value: float | None) -> Entry:
    return (DASH if value is None else f"{100 * value:.2f}",)


def _change(score: float, record: Shrink) -> str:
    return f"{signed_points(score - record.teacher.score, decimals=2)} points"


def _kept(met: bool, close: bool = False) -> str:
    return ("kept" if met else "exceeded") + ", within the spread" * close


# What was tried


def tried_table(record: Shrink) -> Table:
    """Every trial under its number, with what it costs on the target and its score after every rung."""
    trials, winner = ordered(record), record.winning_trial
    measures = {name: record.measures[name] for name in record.most}
    lines = [Line("teacher", record.net, record.teacher.figures)]
    lines += [
        Line(
            f"{number}: {trial.words}",
            "; ".join(filter(None, (trial.method, trial.dropped))),
            trial.figures,
            color=_WINNER if trial is winner else _TRIAL,
            mark="winner" if trial is winner else "",
        )
        for number, trial in enumerate(trials, 1)
    ]
    costs = build("Tried", measures, lines)
    rungs = range(max((len(trial.rungs) for trial in trials), default=0))
    heads = tuple(_rung_column(record, number) for number in rungs)
    scores = [((DASH,),) * len(rungs)]
    scores += [tuple(_rung_entry(trial, number) for number in rungs) for trial in trials]
    rows = tuple(replace(row, entries=row.entries + more) for row, more in zip(costs.rows, scores, strict=True))
    return Table("Tried", costs.columns + heads, rows, costs.footnotes)


def _rung_column(record: Shrink, number: int) -> About:
    about = record.measures[record.metric]
    return about.model_copy(update={"title": f"{about.title}, rung {number + 1}", "unit": "%"})


def _rung_entry(trial: Trial, number: int) -> Entry:
    if number >= len(trial.rungs):
        return (DASH,)
    rung = trial.rungs[number]
    return (f"{100 * rung.score:.2f}", length_of(rung))


def length_of(rung: Rung) -> str:
    """``2 epochs``, or of a part of the images: ``1 epoch of 25 %``."""
    epochs = f"{rung.epochs:g} epoch{'s' * (rung.epochs != 1)}"
    return epochs if rung.share == 1 else f"{epochs} of {percent(rung.share)}"


def reasons(record: Shrink) -> dict[str, list[int]]:
    """Why trials were dropped, with their numbers."""
    found: dict[str, list[int]] = {}
    for number, trial in enumerate(ordered(record), 1):
        if trial.dropped:
            found.setdefault(trial.dropped, []).append(number)
    return found


def tried_drawings(record: Shrink) -> list[Drawn]:
    """Scores against everything that is limited: teacher, winner's file, and the others after their short trainings."""
    winner = record.winner
    if winner is None:
        return []
    drawings = []
    title = record.measures[record.metric].title
    for name, most in record.most.items():
        about = record.measures[name]
        ends = {"teacher": (record.teacher.score, record.teacher.figures.get(name, Figure()))}
        ends["winner"] = winner.file_score, winner.figures.get(name, Figure())
        drawn = [
            (str(number), trial.score, trial.figures.get(name, Figure()))
            for number, trial in enumerate(ordered(record), 1)
            if trial is not record.winning_trial and trial.score is not None
        ]
        known = [(label, score, figure, color) for color, (label, (score, figure)) in enumerate(ends.items())]
        known += [(label, score, figure, _TRIAL) for label, score, figure in drawn if score is not None]
        known = [each for each in known if each[2].value is not None]
        if len(known) < 2 or all(color == _TRIAL for *_, color in known):
            continue
        unit, size = _scale(about, [most, *(figure.value or 0 for *_, figure, _ in known)])
        points = [
            Point(
                label,
                (figure.value or 0) / size,
                score,
                color,
                None if figure.low is None or figure.high is None else (figure.low / size, figure.high / size),
                short=color == _TRIAL,
            )
            for label, score, figure, color in known
        ]
        cost = ", ".join(filter(None, (about.title, unit)))
        drawings.append(Drawn(about.title, pareto_plot(points, title, cost, f"tried-{name}", limit=most / size)))
    return drawings


def _scale(about: About, values: list[float]) -> tuple[str, float]:
    if about.unit not in ("bytes", "count"):
        return about.unit, 1.0
    scale = (byte_unit if about.unit == "bytes" else count_unit)(values)
    return scale.name, scale.size


@dataclass(frozen=True)
class Further:
    """A trial that costs less than the winner's, or scored more after as long a training.

    ``cost`` and ``winners`` are what is limited first, as they are written. ``rung`` is the last one that both were
    trained to, None where it was not trained, ``score`` what it gave, ``difference`` how much that is above the
    winner's own trial then.
    """

    number: int
    words: str
    title: str
    cost: str
    winners: str
    ratio: str
    kind: Literal["cheaper", "better"]
    rung: Rung | None
    difference: float


def steps_further(record: Shrink) -> list[Further]:
    """What it would cost to go further, step by step to the cheapest; at most six."""
    winner = record.winning_trial
    name = next(iter(record.most))
    own = winner.figures.get(name, Figure()).value if winner else None
    if winner is None or not own:
        return []
    about, found = record.measures[name], []
    for number, trial in enumerate(ordered(record), 1):
        value = trial.figures.get(name, Figure()).value
        if trial is winner or value is None:
            continue
        both = list(zip(trial.rungs, winner.rungs, strict=False))
        rung, difference = (both[-1][0], both[-1][0].score - both[-1][1].score) if both else (None, 0.0)
        cheaper = value < _CHEAPER * own
        if cheaper or difference > 0:
            unit, write = writer(about.unit, [value, own])
            found.append(
                (
                    value,
                    Further(
                        number,
                        trial.words,
                        about.title,
                        write(value),
                        f"{write(own)} {unit}".strip(),
                        times(value / own),
                        "cheaper" if cheaper else "better",
                        rung,
                        difference,
                    ),
                )
            )
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])][:_MOST_FURTHER]
