"""The course of a run's trainings, as plots: scores and loss terms.

Lines are labelled where they end; a net has one colour everywhere, the teacher's is grey.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

from unskip.records import Net, Run
from unskip.report.drawings import Drawn, colors_of
from unskip.report.labels import End, label_ends, short_label
from unskip.report.svg import NUM_COLORS, canvas, net_color, round_ticks, to_svg
from unskip.units import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2.5)), (0, (1.5, 2)), (0, (7, 2, 1.5, 2)))


def score_drawings(run: Run) -> list[Drawn]:
    """Scores against the epoch and the training time; nothing where no student was validated."""
    if not any(_validated(run, net) for net in run.students):
        return []
    return [Drawn("By epoch", _score_plot(run, "epoch")), Drawn("By training time", _score_plot(run, "seconds"))]


def _score_plot(run: Run, against: Literal["epoch", "seconds"]) -> Markup:
    """The abscissa is the students'; a teacher that was trained for longer runs out of the picture."""
    teacher, colors, title = run.teacher, colors_of(run.comparison), run.comparison.measures[run.metric].title
    curves = {net: points for net in run.nets if (points := _validated(run, net))}
    students = [net for net in run.students if net in curves]
    place = 0 if against == "epoch" else 1
    longest = max(point[place] for net in students for point in curves[net])
    scale, unit = (1, "epoch") if against == "epoch" else time_unit(longest)
    with canvas(380, 260) as axes:
        ends = [End(short_label(teacher.label), longest / scale, 100 * run.score(teacher), net_color(0))]
        axes.axhline(100 * run.score(teacher), color=net_color(0), linewidth=1.2, linestyle=(0, (4, 3)))
        for net in sorted(curves, key=lambda net: net.label == run.best):  # the best lies on top
            x, y = [point[place] / scale for point in curves[net]], [100 * point[2] for point in curves[net]]
            color, best = net_color(colors[net.label]), net.label == run.best
            if net == teacher:
                axes.plot(x, y, color=color, linewidth=1, alpha=0.7)
                continue
            dashes = DASHES[run.students.index(net) // (NUM_COLORS - 1) % len(DASHES)]
            axes.plot(x, y, color=color, linewidth=2.4 if best else 1.6, linestyle=dashes)
            axes.plot(x[-1:], y[-1:], "o", color=color, markersize=6 if best else 4.5, clip_on=False, zorder=4)
            ends.append(End(short_label(net.label), x[-1], y[-1], color, best))
        epochs_axis(axes, longest) if against == "epoch" else axes.set_xlim(0, 1.02 * longest / scale)
        round_ticks(axes.yaxis)
        axes.set_title(f"{title}, %")
        axes.set_xlabel("epoch" if against == "epoch" else f"training time, {unit}")
        label_ends(axes, ends)
        results = ", ".join(f"{net.label} {percent(run.score(net))}" for net in (teacher, *students))
        what = "epochs" if against == "epoch" else "training time"
        return to_svg(axes, f"score-{against}", f"{title} against {what}. At the end: {results}.")


def loss_drawings(run: Run) -> list[Drawn]:
    """One plot for each training, in the colour of the net that it validated: the terms of the loss by epoch.

    All are logarithmic, or all linear.
    """
    trained = [nets[0] for nets in run.trainings.values() if any(epoch.terms for epoch in run.epochs_of(nets[0]))]
    values = [v for net in trained for e in run.epochs_of(net) for v in e.terms.values() if math.isfinite(v)]
    logarithmic = bool(values) and min(values) > 0 and max(values) > 30 * min(values)
    colors = colors_of(run.comparison)
    return [
        Drawn(run.training_of(net), _loss_plot(run, net, colors[net.label], logarithmic), colors[net.label])
        for net in trained
    ]


def _loss_plot(run: Run, net: Net, color_index: int, logarithmic: bool) -> Markup:
    from matplotlib.ticker import LogLocator

    epochs, color = run.epochs_of(net), net_color(color_index)
    names = dict.fromkeys(name for epoch in epochs for name in epoch.terms)
    with canvas(340, 200) as axes:
        axes.set_yscale("log" if logarithmic else "linear")
        ends = []
        for index, name in enumerate(names):
            points = [(epoch.epoch, epoch.terms.get(name, math.nan)) for epoch in epochs]
            points = [(x, y if math.isfinite(y) else math.nan) for x, y in points]
            axes.plot(*zip(*points, strict=True), color=color, linewidth=1.6, linestyle=DASHES[index % len(DASHES)])
            known = [point for point in points if math.isfinite(point[1])]
            if known:
                axes.plot(*known[-1], "o", color=color, markersize=4, clip_on=False)
                ends.append(End(short_label(name), *known[-1], color))
        if logarithmic:
            low, high = axes.get_ylim()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_yticks([], minor=True)
        else:
            round_ticks(axes.yaxis, 4, steps=None)
        epochs_axis(axes, epochs[-1].epoch)
        axes.set_xlabel("epoch")
        label_ends(axes, ends)
        last = ", ".join(f"{end.text} {end.y:.3g}" for end in ends) or "no finite value"
        index = run.nets.index(net)
        return to_svg(axes, f"loss-{index}", f"Loss terms of {run.training_of(net)} by epoch. At the end: {last}.")


def _validated(run: Run, net: Net) -> list[tuple[int, float, float]]:
    """Epochs, seconds and scores of a net; of one that comes out of another's training, the end alone."""
    points = [(epoch.epoch, epoch.seconds, epoch.score) for epoch in run.epochs_of(net) if epoch.score is not None]
    if run.validated(net) == net:
        return points
    return [(epoch, seconds, run.score(net)) for epoch, seconds, _ in points[-1:]]


def time_unit(seconds: float) -> tuple[float, str]:
    """The seconds in the unit that suits so long a training, and its name."""
    return (3600, "hours") if seconds > 7200 else (60, "minutes") if seconds > 180 else (1, "seconds")


def epochs_axis(axes: Axes, last: float) -> None:
    """An abscissa of whole epochs up to the last one."""
    axes.set_xlim(*((0, last) if last > 1 else (0, 2)))
    round_ticks(axes.xaxis, steps=None, integer=True)
