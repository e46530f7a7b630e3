"""Analyses of trained runs, drawn: curves, clouds of points, and surfaces, all of a group on the same scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from unskip.records import RunAnalysis
from unskip.records.run_analysis import Clouds, Lines, Plot, PlotGroup, Surface, WordTable
from unskip.report.curves import DASHES
from unskip.report.drawings import Drawn
from unskip.report.labels import End, label_ends, short_label
from unskip.report.svg import INK, NUM_COLORS, canvas, net_color, round_ticks, to_svg, visible

MARKERS = ("o", "^", "s")
MOST_LEVELS = 9
_LEVELS = (1.0, 2.0, 5.0)  # of every power of ten: lines of equal height


@dataclass(frozen=True)
class DrawnGroup:
    """Drawings side by side."""

    title: str
    caption: str
    grid: str
    drawings: tuple[Drawn, ...]


@dataclass(frozen=True)
class DrawnAnalysis:
    """What a page shows of an analysis; ``place`` is unique in the page."""

    place: str
    record: RunAnalysis
    groups: tuple[DrawnGroup, ...]

    @property
    def tables(self) -> Sequence[WordTable]:
        """Figures in words."""
        return self.record.tables


def drawn_analysis(record: RunAnalysis) -> DrawnAnalysis:
    """An analysis with all its plots; the same record gives the same bytes."""
    place = f"analysis-{record.name.replace('_', '-')}"
    groups = tuple(_group(group, f"{place}-{number}") for number, group in enumerate(record.plots))
    return DrawnAnalysis(place, record, groups)


def _group(group: PlotGroup, name: str) -> DrawnGroup:
    drawings = tuple(_drawn(plot, f"{name}-{number}") for number, plot in enumerate(group.plots))
    wide = all(isinstance(plot, Lines) for plot in group.plots)
    return DrawnGroup(group.title, group.caption, "pair" if wide else "many", drawings)


def _drawn(plot: Plot, name: str) -> Drawn:
    if isinstance(plot, Lines):
        return Drawn(plot.title, _lines(plot, name))
    if isinstance(plot, Clouds):
        return Drawn(plot.title, _clouds(plot, name), plot.color)
    return Drawn(plot.title, _surface(plot, name), plot.color)


def _lines(plot: Lines, name: str) -> Markup:
    with canvas(380, 260) as axes:
        axes.set_yscale("log" if plot.logarithmic else "linear")
        ends = []
        for place, line in enumerate(plot.lines):
            y = [math.nan if value is None else value for value in line.y]
            color = net_color(line.color % NUM_COLORS)
            dashes = DASHES[place // (NUM_COLORS - 1) % len(DASHES)]
            axes.plot(line.x, y, color=color, linewidth=1.7, linestyle=dashes, marker="o", markersize=3.5)
            if line.spread:
                half = [math.nan if value is None else value for value in line.spread]
                low, high = ([each + sign * by for each, by in zip(y, half, strict=True)] for sign in (-1, 1))
                low = [each if not plot.logarithmic or each > 0 else math.nan for each in low]
                axes.fill_between(line.x, low, high, color=color, alpha=0.13, linewidth=0)
            known = [(x, each) for x, each in zip(line.x, y, strict=True) if not math.isnan(each)]
            if known:
                ends.append(End(short_label(line.label), *known[-1], color))
        if plot.ticks:
            axes.set_xticks(range(len(plot.ticks)), [visible(tick) for tick in plot.ticks])
            axes.tick_params(axis="x", labelrotation=30 if max(map(len, plot.ticks)) * len(plot.ticks) > 52 else 0)
        else:
            round_ticks(axes.xaxis, 6, steps=None, integer=True)
        if plot.logarithmic:
            axes.set_yticks([], minor=True)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        else:
            round_ticks(axes.yaxis, steps=None)
        axes.set_title(visible(plot.y_title))
        axes.set_xlabel(visible(plot.x_title))
        label_ends(axes, ends)
        ends_text = ", ".join(f"{end.text} {end.y:.3g}" for end in ends)
        return to_svg(axes, name, f"{plot.title}: {plot.y_title} by {plot.x_title}. At the end: {ends_text}.")


def _clouds(plot: Clouds, name: str) -> Markup:
    with canvas(340, 340) as axes:
        for place, cloud in enumerate(plot.clouds):
            marker, color = MARKERS[place % len(MARKERS)], net_color(1 + place % (NUM_COLORS - 1))
            axes.plot(cloud.x, cloud.y, marker, color=color, markersize=4, alpha=0.5, markeredgewidth=0)
        for cloud in plot.clouds:
            axes.text(
                float(np.mean(cloud.x)),
                float(np.mean(cloud.y)),
                visible(short_label(cloud.label)),
                ha="center",
                va="center",
                color=INK,
                fontweight="bold",
            )
        axes.set_xlim(-plot.reach, plot.reach)
        axes.set_ylim(-plot.reach, plot.reach)
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            round_ticks(axis)
        counts = ", ".join(f"{len(cloud.x)} of {cloud.label}" for cloud in plot.clouds)
        return to_svg(axes, name, f"{plot.title}: images as points, {counts}.")


def _surface(plot: Surface, name: str) -> Markup:
    from matplotlib.colors import to_rgba

    levels = levels_between(plot.low, plot.high)
    with canvas(340, 340) as axes:
        color, heights = net_color(plot.color % NUM_COLORS), np.array(plot.z)
        shades = [to_rgba(color, 0.06 + 0.7 * place / len(levels)) for place in range(len(levels) + 1)]
        bounds = [min(plot.low, heights.min()) - 1e-9, *levels, max(plot.high, heights.max()) + 1e-9]
        axes.contourf(plot.places, plot.places, heights, bounds, colors=shades)
        lines = axes.contour(plot.places, plot.places, heights, levels, colors=[color], linewidths=0.8)
        axes.clabel(lines, fmt=lambda level: f"{level:g}", colors=[INK], fontsize=10)
        axes.plot([0], [0], "+", color=INK, markersize=8)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        for axis in (axes.xaxis, axes.yaxis):
            round_ticks(axis, 4, steps=None)
        center = heights[len(heights) // 2, len(heights) // 2]
        text = f"{plot.title}: {plot.z_title} over a square, {center:.3g} in its middle, up to {heights.max():.3g}."
        return to_svg(axes, name, text)


def levels_between(low: float, high: float) -> list[float]:
    """Heights of lines from low to high, both above 0: 1, 2 and 5 of every power of ten, or fewer of them."""
    powers = range(math.floor(math.log10(max(low, 1e-6))), math.ceil(math.log10(max(high, 1e-6))) + 1)
    levels = [step * 10.0**power for power in powers for step in _LEVELS]
    inside = [level for level in levels if low < level < high]
    while len(inside) > MOST_LEVELS:
        inside = inside[::2]
    return inside or [(low + high) / 2]
