"""Several runs beside each other: facts for their sentences, their tables and their plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from unskip.records import Figure, PastRun, PastRuns
from unskip.report.curves import DASHES, epochs_axis, time_unit
from unskip.report.drawings import Drawn
from unskip.report.findings import COSTS, Difference
from unskip.report.labels import End, label_ends, short_label
from unskip.report.lines import DECISIVE, setting_of
from unskip.report.pareto import Point, pareto_plot
from unskip.report.svg import NUM_COLORS, canvas, net_color, round_ticks, to_svg
from unskip.report.table import RowContent, Table, build
from unskip.units import byte_unit, percent

_IN_SHORT = (*DECISIVE, "parameters", "macs")
"""The measures that the terminal shows beside the scores."""


@dataclass(frozen=True)
class Network:
    """A network of a run: its label in the run, its score, and what else is known of it.

    It is not ``is_complete`` where its run is not: the score is then that of its last validation.
    """

    run: PastRun
    net: str
    is_complete: bool
    score: float | None
    figures: dict[str, Figure]
    about: str
    color: int

    @property
    def label(self) -> str:
        """As `bench` names it."""
        return f"{self.run.label}:{self.net}"


@dataclass(frozen=True)
class Facts:
    """What can be said of runs.

    ``best`` is the student with the highest score among the complete runs, ``second`` the next of them, ``difference``
    theirs; None where there are none, or they were tested on other images. ``tests`` are the runs by the test set that
    they have in common, ``metrics`` and ``settings`` those by the words for what they were scored and timed by.
    """

    best: Network | None
    second: Network | None
    difference: Difference | None
    tests: dict[str, list[str]]
    metrics: dict[str, list[str]]
    settings: dict[str, list[str]]
    incomplete: list[tuple[str, str]]


def facts_of(record: PastRuns) -> Facts:
    """The facts of these runs."""
    tests: dict[str, list[str]] = {}
    metrics: dict[str, list[str]] = {}
    settings: dict[str, list[str]] = {}
    for run in record.runs:
        count = "" if run.num_test is None else f", {run.num_test:,} test images"
        key = f"{run.data}{count}{f' ({run.test_set[:8]})' if run.test_set else ''}"
        tests.setdefault(key, []).append(run.label)
        metrics.setdefault(record.measures[run.metric].title, []).append(run.label)
        if run.results:
            comparison = run.results.comparison
            words = f"{setting_of(comparison.groups[0])}, {comparison.environment.get('cpu', 'unknown processor')}"
            settings.setdefault(words, []).append(run.label)
    students = [
        net for net in networks_of(record) if net.is_complete and net.net != "teacher" and net.score is not None
    ]
    ranked = sorted(students, key=lambda net: -(net.score or 0))
    alike = _alike(record)
    best, second = (ranked[place] if alike and len(ranked) > place else None for place in (0, 1))
    difference = None
    if best and second:
        images = best.run.num_test if best.run.metric == "top1" else None
        difference = Difference(best.score or 0, second.score or 0, images)
    incomplete = [(run.label, _how_far(run)) for run in record.runs if run.results is None]
    return Facts(best, second, difference, tests, metrics, settings, incomplete)


def _alike(record: PastRuns) -> bool:
    """Whether all were tested on the same images, as far as that is known, and scored alike."""
    return len({(run.test_set or run.data, run.num_test, run.metric) for run in record.runs}) == 1


def _how_far(run: PastRun) -> str:
    words = [
        f"{training.label} {len(training.epochs)} of {training.planned} epoch{'s' * (training.planned != 1)}"
        for training in run.trainings
    ]
    return ", ".join(words)


def networks_of(record: PastRuns) -> list[Network]:
    """All networks, run by run; of a run that is not complete those that were validated."""
    return [net for number, run in enumerate(record.runs) for net in _networks(run, 1 + number % (NUM_COLORS - 1))]


def _networks(run: PastRun, color: int) -> list[Network]:
    if run.results is None:
        networks = []
        for training in run.trainings:
            scores = [epoch.score for epoch in training.epochs if epoch.score is not None]
            remark = "of the last validation, the run is not complete"
            figures = {run.metric: Figure(value=scores[-1], images=run.num_test, remark=remark)} if scores else {}
            about = f"epoch {len(training.epochs)} of {training.planned}"
            if training.epochs:
                networks.append(
                    Network(run, training.label, False, scores[-1] if scores else None, figures, about, color)
                )
        return networks
    results = run.results
    return [
        Network(
            run,
            net.label,
            True,
            results.score(net),
            {
                name: figure.model_copy(update={"samples": ()})  # of rounds that other runs do not share
                for name, figure in (results.subject(net).figures | results.cell(net).figures).items()
            },
            ", ".join(filter(None, (results.subject(net).net, f"{net.epochs} epochs" if net.epochs else ""))),
            color,
        )
        for net in results.nets
    ]


def networks_table(record: PastRuns, *, short: bool = False) -> Table:
    """A row for every network, with its scores and costs; ``short`` leaves out what a terminal has no room for.

    How well a file was proved is in each run's own report.
    """
    metrics = {run.metric for run in record.runs}
    columns = {
        name: about
        for name, about in record.measures.items()
        if about.kind != "file" and (not short or name in metrics or name in _IN_SHORT)
    }
    best = facts_of(record).best
    lines = [
        RowContent(net.label, net.about, net.figures, color=net.color, mark="best student" if net == best else "")
        for net in networks_of(record)
    ]
    return build("Network", columns, lines)


def cost_plots(record: PastRuns) -> list[Drawn]:
    """The networks' scores against each cost, where all were tested and scored alike."""
    if not _alike(record):
        return []
    metric, drawings = record.runs[0].metric, []
    for measure in COSTS:
        costs = [(net, net.figures.get(measure, Figure()).value) for net in networks_of(record) if net.is_complete]
        with_both = [(net, cost) for net, cost in costs if cost is not None and net.score is not None]
        if len(with_both) < 2:
            continue
        about = record.measures[measure]
        unit, size = about.unit, 1.0
        if unit == "bytes":
            scale = byte_unit(cost for _, cost in with_both)
            unit, size = scale.name, scale.size
        points = [Point(net.label, cost / size, net.score or 0, net.color) for net, cost in with_both]
        titles = record.measures[metric].title, f"{about.title}, {unit}"
        drawings.append(Drawn(about.title, pareto_plot(points, *titles, f"costs-{measure}")))
    return drawings


def course_plots(record: PastRuns) -> list[Drawn]:
    """Scores of all students by epoch and by training time, one colour a run; nothing where none was validated."""
    drawn = {"epoch": "By epoch", "seconds": "By training time"}
    return [
        Drawn(title, plot)
        for against, title in drawn.items()
        if (plot := _course_plot(record, "epoch" if against == "epoch" else "seconds"))
    ]


def _course_plot(record: PastRuns, against: Literal["epoch", "seconds"]) -> Markup | None:
    courses = []
    for number, run in enumerate(record.runs):
        students = [training for training in run.trainings if training.label != "teacher"]
        for place, training in enumerate(students):
            points = [(getattr(each, against), each.score) for each in training.epochs if each.score is not None]
            label = run.label if len(students) == 1 else f"{run.label}:{training.label}"
            if points:
                courses.append((label, points, net_color(1 + number % (NUM_COLORS - 1)), DASHES[place % len(DASHES)]))
    if not courses:
        return None
    longest = max(points[-1][0] for _, points, _, _ in courses)
    scale, unit = (1.0, "epoch") if against == "epoch" else time_unit(longest)
    with canvas(380, 260) as axes:
        ends = []
        for label, points, color, dashes in courses:
            x, y = [place / scale for place, _ in points], [100 * score for _, score in points]
            axes.plot(x, y, color=color, linewidth=1.6, linestyle=dashes)
            axes.plot(x[-1:], y[-1:], "o", color=color, markersize=4.5, clip_on=False, zorder=4)
            ends.append(End(short_label(label), x[-1], y[-1], color))
        epochs_axis(axes, longest) if against == "epoch" else axes.set_xlim(0, 1.02 * longest / scale)
        round_ticks(axes.yaxis)
        titles = dict.fromkeys(record.measures[run.metric].title for run in record.runs)
        axes.set_title(f"{' and '.join(titles)}, %")
        axes.set_xlabel("epoch" if against == "epoch" else f"training time, {unit}")
        label_ends(axes, ends)
        ends_text = ", ".join(f"{label} {percent(points[-1][1])}" for label, points, _, _ in courses)
        what = "epochs" if against == "epoch" else "training time"
        return to_svg(axes, f"course-{against}", f"Scores against {what}. At the end: {ends_text}.")
