"""The report's plots: accuracy and loss over training, feature maps over inference.

Lines are labelled where they end; a net has one colour everywhere, the teacher's is grey.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unskip.report.record import Net, Operation, Run, Timeline
from unskip.report.svg import INK, MUTED, NUM_COLORS, RULE, canvas, net_color, to_svg, visible
from unskip.report.units import byte_unit, percent

__all__ = ["accuracy_plot", "color_index", "loss_plots", "memory_plot", "spread"]

DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2.5)),
    (0, (1.5, 2)),
    (0, (7, 2, 1.5, 2)),
)
CHARACTER = 7  # average width in pixels at the plots' font size
LONGEST_LABEL = 16


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

    texts = [_short(net.label) for net in (teacher, *drawn)]
    with canvas(width, 300, right=_margin(texts)) as axes:
        ends = [_End(_short(teacher.label), longest / scale, 100 * teacher.top1, net_color(0))]
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
            ends.append(_End(_short(net.label), x[-1], y[-1], color, best))
        _epochs_axis(axes, longest) if against == "epoch" else axes.set_xlim(0, 1.02 * longest / scale)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        _titles(axes, "top-1 accuracy, %", "epoch" if against == "epoch" else f"training time, {unit}")
        _label(axes, ends)
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
    with canvas(340, 200, right=_margin(terms), top=10) as axes:
        axes.set_yscale("log" if logarithmic else "linear")
        numbers = [epoch.epoch for epoch in epochs]
        ends = []
        for index, (term, values) in enumerate(terms.items()):
            axes.plot(numbers, values, color=color, linewidth=1.6, linestyle=DASHES[index % len(DASHES)])
            known = [(x, y) for x, y in zip(numbers, values, strict=True) if math.isfinite(y)]
            if known:
                axes.plot(*known[-1], "o", color=color, markersize=4, clip_on=False)
                ends.append(_End(_short(term), *known[-1], color))
        if logarithmic:
            low, high = axes.get_ylim()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4))
        _epochs_axis(axes, numbers[-1])
        axes.set_xlabel("epoch", loc="left")
        _label(axes, ends)
        last = ", ".join(f"{end.text} {end.y:.3g}" for end in ends) or "no finite value"
        index = run.nets.index(net)
        return to_svg(axes, f"loss-{index}", f"Loss terms of {run.training_of(net)} by epoch. At the end: {last}.")


def memory_plot(run: Run, width: int) -> Markup:
    """Live feature maps operation by operation, teacher and student over each other, peaks marked.

    The same part of both nets has the same place, although the teacher has more operations.
    """
    nets = run.memory.nets
    unit = byte_unit([nets.teacher.peak_bytes, nets.student.peak_bytes])
    spans = _spans(nets.teacher, nets.student)
    drawn = [(nets.teacher, "teacher", 0), (nets.student, "student", color_index(run, run.best))]
    labels = {name: f"{name}\n{unit(timeline.peak_bytes)}" for timeline, name, _ in drawn}
    right = _margin(line for label in labels.values() for line in label.split("\n"))
    with canvas(width, 300, left=46, right=right) as axes:
        ends = []
        for timeline, name, index in drawn:
            color = net_color(index)
            values = [operation.live_bytes / unit.size for operation in timeline.operations]
            edges = _edges(timeline, spans)
            if index:
                axes.stairs(values, edges, fill=True, color=color, alpha=0.14, linewidth=0)
            axes.stairs(values, edges, baseline=None, color=color, linewidth=2 if index else 1.4)
            peak = max(range(len(values)), key=values.__getitem__)
            x = (edges[peak] + edges[peak + 1]) / 2
            axes.plot(x, values[peak], "o", color=color, markersize=6, zorder=4)
            ends.append(_End(labels[name], x, values[peak], color, bool(index)))
        end = spans[-1][2]
        axes.set_xlim(0, end)
        axes.set_ylim(0, 1.06 * max(end.y for end in ends))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        for _, start, _ in spans[1:]:
            axes.axvline(start, color=RULE, linewidth=1)
        per_unit = (width - 46 - right) / end
        shown = [span for span in spans if (span[2] - span[1]) * per_unit > CHARACTER * len(span[0])]
        axes.set_xticks([(start + stop) / 2 for _, start, stop in shown], [visible(part) for part, _, _ in shown])
        axes.tick_params(axis="x", size=0)
        _titles(axes, f"live feature maps, {unit.name}", "operations in order of execution")
        _label(axes, ends, gap=32)
        peaks = "; ".join(f"{name} {unit(timeline.peak_bytes)} at {timeline.peak_at}" for timeline, name, _ in drawn)
        return to_svg(axes, f"memory-{width}", f"Live feature maps over one inference. Peaks: {peaks}.")


def _validated(run: Run, net: Net, against: Literal["epoch", "seconds"]) -> tuple[list[float], list[float]]:
    """The curve of a net; of one that comes out of another's training, the end alone."""
    known = [epoch for epoch in run.epochs_of(net) if epoch.top1 is not None]
    x = [float(epoch.epoch if against == "epoch" else epoch.seconds) for epoch in known]
    if run.validated(net) != net:
        return x[-1:], [100 * net.top1][: len(x)]
    return x, [100 * epoch.top1 for epoch in known if epoch.top1 is not None]


def _spans(teacher: Timeline, student: Timeline) -> list[tuple[str, float, float]]:
    """Both nets' parts, each as wide as it has operations; one nameless part if the nets' parts differ."""
    counts = [[(part, len(list(ops))) for part, ops in groupby(t.operations, _part)] for t in (teacher, student)]
    if [part for part, _ in counts[0]] != [part for part, _ in counts[1]]:
        return [("", 0, max(len(teacher.operations), len(student.operations)))]
    spans: list[tuple[str, float, float]] = []
    for (part, count), (_, other) in zip(*counts, strict=True):
        start = spans[-1][2] if spans else 0
        spans.append((part, start, start + max(count, other)))
    return spans


def _edges(timeline: Timeline, spans: Sequence[tuple[str, float, float]]) -> list[float]:
    """Where each operation starts, and where the last one ends."""
    if len(spans) == 1:
        counts = [len(timeline.operations)]
    else:
        counts = [len(list(operations)) for _, operations in groupby(timeline.operations, _part)]
    edges = [0.0]
    for (_, start, stop), count in zip(spans, counts, strict=True):
        edges += [start + (stop - start) * (index + 1) / count for index in range(count)]
    return edges


def _part(operation: Operation) -> str:
    return operation.name.partition(".")[0]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _time_unit(seconds: float) -> tuple[float, str]:
    return (3600, "hours") if seconds > 7200 else (60, "minutes") if seconds > 180 else (1, "seconds")


def _epochs_axis(axes: Axes, last: float) -> None:
    axes.set_xlim(*((0, last) if last > 1 else (0, 2)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _titles(axes: Axes, vertical: str, horizontal: str) -> None:
    """The ordinate's title lies above it, where it can be read without turning the head."""
    axes.annotate(
        vertical,
        (0, 1),
        (0, -2),
        xycoords="figure fraction",
        textcoords="offset points",
        va="top",
        color=MUTED,
    )
    axes.set_xlabel(horizontal, loc="left")


@dataclass(frozen=True)
class _End:
    """Where a line ends or peaks, and what it is called."""

    text: str
    x: float
    y: float
    color: str
    bold: bool = False


def _label(axes: Axes, ends: Sequence[_End], gap: float = 15) -> None:
    """Names at the right, as high as their lines end unless they would touch, with leaders to the lines."""
    box = axes.get_window_extent()
    wanted = [float(axes.transData.transform((end.x, end.y))[1]) for end in ends]
    for end, y in zip(ends, spread(wanted, gap, low=box.y0 + 4, high=box.y1 + 4), strict=True):
        height = (y - box.y0) / box.height
        axes.annotate(
            end.text,
            (end.x, end.y),
            (1 + 14 / box.width, height),
            textcoords="axes fraction",
            va="center",
            color=INK,
            fontweight="bold" if end.bold else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.color,
                "linewidth": 0.8,
                "linestyle": (0, (1, 2)),
                "relpos": (0, 0.5),
                "shrinkA": 3,
                "shrinkB": 4,
            },
        )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least ``gap`` apart and, if they fit, in bounds."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = [max(wanted[i], low) for i in order]
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    limit = high
    for k in reversed(range(len(placed))):
        placed[k] = min(placed[k], limit)
        limit = placed[k] - gap
    return [position for _, position in sorted(zip(order, placed, strict=True))]


def _short(text: str) -> str:
    """A label that fits beside a plot, cut in the middle: long names tend to differ at their ends."""
    text = visible(text)
    half = LONGEST_LABEL // 2
    return text if len(text) <= LONGEST_LABEL else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[1 - half :]}"


def _margin(texts: Iterable[str]) -> int:
    """Room for the longest of the labels; East Asian characters are twice as wide."""
    wide = (sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in _short(text)) for text in texts)
    return 22 + math.ceil(CHARACTER * max(wide, default=0))
