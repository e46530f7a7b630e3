"""What a shrink tried: in a table, against its cost, and what it would cost to go further."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unskip.records import About, Figure, Rung, Shrink, Trial
from unskip.report.drawings import Drawn
from unskip.report.pareto import Point, pareto_plot
from unskip.report.table import DASH, Entry, RowContent, Table, build
from unskip.units import byte_unit, count_unit, percent, writer

_TEACHER, _WINNER, _TRIAL = 0, 1, 2  # numbers of colours
_MOST_FURTHER = 6
_CHEAPER = 0.995  # of a cost; what is nearer to it costs as much


def ordered(record: Shrink) -> list[Trial]:
    """The trials as tables number them from 1: the winner, then those that were trained further, the best first."""
    winner = record.winning_trial
    return sorted(record.trials, key=lambda trial: (trial is not winner, -len(trial.rungs), -(trial.score or 0)))


def tried_table(record: Shrink) -> Table:
    """Every trial under its number, with what it costs on the target and its score after every rung."""
    trials, winner = ordered(record), record.winning_trial
    measures = {name: record.measures[name] for name in record.most}
    lines = [RowContent("teacher", record.net, record.teacher.figures)]
    lines += [
        RowContent(
            f"{number}: {trial.words}",
            "; ".join(filter(None, (", then ".join(record.methods[trial.label]), trial.dropped))),
            trial.figures,
            color=_WINNER if trial is winner else _TRIAL,
            mark="winner" if trial is winner else "",
        )
        for number, trial in enumerate(trials, 1)
    ]
    costs = build("Tried", measures, lines)
    rungs = range(max((len(trial.rungs) for trial in trials), default=0))
    heads = tuple(_rung_column(record, number) for number in rungs)
    scores: list[tuple[Entry, ...]] = [((DASH,),) * len(rungs)]
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
    by_reason: dict[str, list[int]] = {}
    for number, trial in enumerate(ordered(record), 1):
        if trial.dropped:
            by_reason.setdefault(trial.dropped, []).append(number)
    return by_reason


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
        drawable = [(label, score, figure, color) for color, (label, (score, figure)) in enumerate(ends.items())]
        drawable += [(label, score, figure, _TRIAL) for label, score, figure in drawn if score is not None]
        drawable = [each for each in drawable if each[2].value is not None]
        if len(drawable) < 2 or all(color == _TRIAL for *_, color in drawable):
            continue
        unit, size = _scale(about, [most, *(figure.value or 0 for *_, figure, _ in drawable)])
        points = [
            Point(
                label,
                (figure.value or 0) / size,
                score,
                color,
                None if figure.low is None or figure.high is None else (figure.low / size, figure.high / size),
                short=color == _TRIAL,
            )
            for label, score, figure, color in drawable
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
class FurtherTrial:
    """A trial that costs less than the winner's, or scored more after as long a training.

    ``cost`` and ``winners`` are what is limited and what it saves the most of, as they are written, ``share`` the one
    divided by the other. ``rung`` is the last one that both were trained to, None where it was not trained,
    ``difference`` how much its score was above that of the winner's own trial then.
    """

    number: int
    words: str
    title: str
    cost: str
    winners: str
    share: float
    rung: Rung | None
    difference: float

    @property
    def is_cheaper(self) -> bool:
        """Whether it costs less, by more than what does not count."""
        return self.share < _CHEAPER


def steps_further(record: Shrink) -> list[FurtherTrial]:
    """What it would cost to go further, step by step to the cheapest; at most six."""
    winner = record.winning_trial
    if winner is None:
        return []
    others = [(number, trial) for number, trial in enumerate(ordered(record), 1) if trial is not winner]
    steps = [step for number, trial in others if (step := _step(record, winner, number, trial))]
    worth = [step for step in steps if step.is_cheaper or step.difference > 0]
    return sorted(worth, key=lambda step: -step.share)[:_MOST_FURTHER]


def _step(record: Shrink, winner: Trial, number: int, trial: Trial) -> FurtherTrial | None:
    """A trial beside the winner's; None where they have no limited figure in common."""
    shares = {}
    for name in record.most:
        value, own = (each.figures.get(name, Figure()).value for each in (trial, winner))
        if value is not None and own:
            shares[name] = value / own, value, own
    if not shares:
        return None
    name = min(shares, key=lambda name: shares[name][0])
    share, value, own = shares[name]
    about = record.measures[name]
    unit, write = writer(about.unit, [value, own])
    both = list(zip(trial.rungs, winner.rungs, strict=False))
    rung, difference = (both[-1][0], both[-1][0].score - both[-1][1].score) if both else (None, 0.0)
    winners = f"{write(own)} {unit}".strip()
    return FurtherTrial(number, trial.words, about.title, write(value), winners, share, rung, difference)
