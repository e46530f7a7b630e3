"""A study's trainings by epoch: a plot for every column, a line for every row, and behind it each seed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from markupsafe import Markup

from unskip.records import Entry, Study
from unskip.records.study import Curve
from unskip.report.curves import DASHES, epochs_axis
from unskip.report.drawings import Drawn
from unskip.report.labels import End, label_ends, short_label
from unskip.report.study_tables import colors_by_row
from unskip.report.svg import NUM_COLORS, canvas, net_color, round_ticks, to_svg


def curve_drawings(study: Study) -> list[Drawn]:
    """One plot for each column that has curves, all on one scale."""
    scores = [score for entry in study.entries for curve in entry.curve.values() for _, score in curve]
    if not scores:
        return []
    margin = 0.04 * (max(scores) - min(scores)) or 1.0
    limits = min(scores) - margin, max(scores) + margin
    drawings = []
    for number, column in enumerate(study.columns):
        entries = [entry for entry in study.entries if entry.column == column and any(entry.curve.values())]
        if entries:
            drawings.append(Drawn(column, _plot(study, entries, f"curves-{number}", limits)))
    return drawings


def mean_curve(curves: Mapping[int, Curve]) -> list[tuple[int, float]]:
    """The mean over seeds, at the epochs after which each of them has a score."""
    by_seed = [dict(curve) for curve in curves.values() if curve]
    epochs = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
    return [(epoch, statistics.fmean(curve[epoch] for curve in by_seed)) for epoch in epochs]


def _plot(study: Study, entries: list[Entry], name: str, limits: tuple[float, float]) -> Markup:
    colors, rows = colors_by_row(study), list(study.rows)
    longest = max(curve[-1][0] for entry in entries for curve in entry.curve.values() if curve)
    with canvas(400, 260) as axes:
        ends = []
        for entry in entries:
            color = net_color(colors[entry.row])
            dashes = DASHES[rows.index(entry.row) // (NUM_COLORS - 1) % len(DASHES)]
            for curve in entry.curve.values():
                axes.plot(*zip(*curve, strict=True), color=color, linewidth=0.7, alpha=0.45)
            mean = mean_curve(entry.curve)
            if mean:
                x, y = zip(*mean, strict=True)
                axes.plot(x, y, color=color, linewidth=1.8, linestyle=dashes)
                axes.plot(x[-1:], y[-1:], "o", color=color, markersize=4.5, clip_on=False, zorder=4)
                ends.append(End(short_label(entry.row), x[-1], y[-1], color))
        epochs_axis(axes, longest)
        axes.set_ylim(*limits)
        round_ticks(axes.yaxis)
        axes.set_title("Top-1 accuracy, %")
        axes.set_xlabel("epoch")
        label_ends(axes, ends, gap=14)
        ends_text = ", ".join(f"{end.text} {end.y:.1f}" for end in ends) or "no epoch that all seeds have"
        return to_svg(axes, name, f"Accuracy by epoch, {entries[0].column}. Means at the end: {ends_text}.")
