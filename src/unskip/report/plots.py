"""The report's plots of training: accuracy and loss.

Lines are labelled where they end; a net has one colour everywhere, the teacher's is grey.
"""

from __future__ import annotations

import math
from typing import Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unskip.report.labels import End, label_ends, short_label
from unskip.report.record import Net, Run
from unskip.report.svg import NUM_COLORS, canvas, net_color, to_svg
from unskip.units import percent

__all__ = ["accuracy_plot", "color_index", "loss_plots"]

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2.5)),
    (0, (1.5, 2)),
    (0, (7, 2, 1.5, 2)),
)


def color_index(run: Run, label: str) -> int:
    """The number of a net's colour: 0 for the teacher, then the students in turn."""
    students = [net.label for net in run.students]
    return 1 + students.index(label) % (NUM_COLORS - 1) if label in students else 0


def accuracy_plot(run: Run, against: Literal["epoch", "seconds"], width: int = 480) -> Markup | None:
    """Top-1 accuracy against the epoch or the training time; nothing where no student was validated.

    The abscissa is the students'; a teacher that was trained for longer runs out of the picture.
    """
    curves = {net.label: _validated(run, net, against) for net in run.nets}
    curves = {label: curve for label, curve in curves.items() if curve[0]}
    drawn = [net for net in run.students if net.label in curves]
    if not drawn:
        return None
    teacher = run.teacher
    longest = max(x for net in drawn for x in curves[net.label][0])
    scale, unit = (1, "epoch") if against == "epoch" else _time_unit(longest)

    with canvas(width, 300) as axes:
        ends = [End(short_label(teacher.label), longest / scale, 100 * teacher.top1, net_color(0))]
        axes.axhline(100 * teacher.top1, color=net_color(0), linewidth=1.2, linestyle=(0, (4, 3)))
        if teacher.label in curves:
            x, y = curves[teacher.label]
            axes.plot([value / scale for value in x], y, color=net_color(0), linewidth=1, alpha=0.7)
        for net in sorted(drawn, key=lambda net: net.label == run.best):  # the best lies on top
            x, y = [value / scale for value in curves[net.label][0]], curves[net.label][1]
            color, best = net_color(color_index(run, net.label)), net.label == run.best
            dashes = DASHES[run.students.index(net) // (NUM_COLORS - 1) % len(DASHES)]
            axes.plot(x, y, color=color, linewidth=2.4 if best else 1.6, linestyle=dashes)
            axes.plot(x[-1:], y[-1:], "o", color=color, markersize=6 if best else 4.5, clip_on=False, zorder=4)
            ends.append(End(short_label(net.label), x[-1], y[-1], color, best))
        _epochs_axis(axes, longest) if against == "epoch" else axes.set_xlim(0, 1.02 * longest / scale)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_title("top-1 accuracy, %")
        axes.set_xlabel("epoch" if against == "epoch" else f"training time, {unit}")
        label_ends(axes, ends)
        results = ", ".join(f"{net.label} {percent(net.top1)}" for net in (teacher, *drawn))
        against_what = "epochs" if against == "epoch" else "training time"
        return to_svg(axes, f"accuracy-{against}", f"Top-1 accuracy against {against_what}. At the end: {results}.")


def loss_plots(run: Run) -> list[tuple[Net, Markup]]:
    """One plot for each training, beside the net that it validated: the terms of the loss by epoch.

    All are logarithmic, or all linear.
    """
    trained = [nets[0] for nets in run.trainings.values() if any(epoch.terms for epoch in run.epochs_of(nets[0]))]
    values = [v for net in trained for e in run.epochs_of(net) for v in e.terms.values() if math.isfinite(v)]
    logarithmic = bool(values) and min(values) > 0 and max(values) > 30 * min(values)
    return [(net, _loss_plot(run, net, logarithmic)) for net in trained]


def _loss_plot(run: Run, net: Net, logarithmic: bool) -> Markup:
    epochs = run.epochs_of(net)
    color = net_color(color_index(run, net.label))
    names = dict.fromkeys(name for epoch in epochs for name in epoch.terms)
    terms = {name: [_finite(epoch.terms.get(name, math.nan)) for epoch in epochs] for name in names}
    with canvas(340, 200) as axes:
        axes.set_yscale("log" if logarithmic else "linear")
        numbers = [epoch.epoch for epoch in epochs]
        ends = []
        for index, (term, values) in enumerate(terms.items()):
            axes.plot(numbers, values, color=color, linewidth=1.6, linestyle=DASHES[index % len(DASHES)])
            known = [(x, y) for x, y in zip(numbers, values, strict=True) if math.isfinite(y)]
            if known:
                axes.plot(*known[-1], "o", color=color, markersize=4, clip_on=False)
                ends.append(End(short_label(term), *known[-1], color))
        if logarithmic:
            low, high = axes.get_ylim()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4))
        _epochs_axis(axes, numbers[-1])
        axes.set_xlabel("epoch")
        label_ends(axes, ends)
        last = ", ".join(f"{end.text} {end.y:.3g}" for end in ends) or "no finite value"
        index = run.nets.index(net)
        return to_svg(axes, f"loss-{index}", f"Loss terms of {run.training_of(net)} by epoch. At the end: {last}.")


def _validated(run: Run, net: Net, against: Literal["epoch", "seconds"]) -> tuple[list[float], list[float]]:
    """The curve of a net; of one that comes out of another's training, the end alone."""
    known = [epoch for epoch in run.epochs_of(net) if epoch.score is not None]
    x = [float(epoch.epoch if against == "epoch" else epoch.seconds) for epoch in known]
    if run.validated(net) != net:
        return x[-1:], [100 * net.top1][: len(x)]
    return x, [100 * epoch.score for epoch in known if epoch.score is not None]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _time_unit(seconds: float) -> tuple[float, str]:
    return (3600, "hours") if seconds > 7200 else (60, "minutes") if seconds > 180 else (1, "seconds")


def _epochs_axis(axes: Axes, last: float) -> None:
    axes.set_xlim(*((0, last) if last > 1 else (0, 2)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
