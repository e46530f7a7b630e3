"""Accuracy against a cost: who gives the most for each price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from unskip.report.labels import short_label, text_width, titles
from unskip.report.svg import INK, MUTED, canvas, net_color, to_svg
from unskip.units import percent

__all__ = ["Point", "front", "pareto_plot"]

_GAP = 9  # pixels between a point and its name
_LINE = 15  # pixels
LONGEST = 30  # characters of a name


_Stroke = tuple[tuple[float, float], tuple[float, float]]  # from, to: cost and per cent


@dataclass(frozen=True)
class Point:
    """A net or file: what it costs, its accuracy from 0 to 1, the number of its colour, and the cost's spread."""

    label: str
    cost: float
    accuracy: float
    color: int
    spread: tuple[float, float] | None = None


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both, by cost; of equals, all."""
    ordered = sorted(points, key=lambda point: (point.cost, -point.accuracy))
    kept: list[Point] = []
    for point in ordered:
        better = not kept or point.accuracy > kept[-1].accuracy
        equal = bool(kept) and (point.cost, point.accuracy) == (kept[-1].cost, kept[-1].accuracy)
        if better or equal:
            kept.append(point)
    return kept


def pareto_plot(points: Sequence[Point], cost: str, name: str, width: int = 480) -> Markup | None:
    """Accuracy against ``cost``, the title of its axis; ``name`` is unique in the page. None below two points.

    The line joins those that no other beats in both: up and to the left is better.
    """
    if len(points) < 2:
        return None
    best = front(points)
    with canvas(width, 300, left=46, right=16) as axes:
        _limits(axes, points)
        steps = [(point.cost, 100 * point.accuracy) for point in best]
        right, (bottom, _) = axes.get_xlim()[1], axes.get_ylim()
        x = [steps[0][0], *(x for x, _ in steps), right]
        y = [bottom, *(y for _, y in steps), steps[-1][1]]
        axes.step(x, y, where="post", color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        corners = [(x[0], y[0])]
        for at, height in zip(x[1:], y[1:], strict=True):
            corners += [(at, corners[-1][1]), (at, height)]
        for point in points:
            filled = point in best
            color = net_color(point.color)
            if point.spread is not None:
                axes.plot(point.spread, [100 * point.accuracy] * 2, color=color, linewidth=1.2, alpha=0.6, zorder=3)
            axes.plot(
                point.cost,
                100 * point.accuracy,
                "o",
                markersize=7,
                markeredgewidth=1.6,
                markeredgecolor=color,
                markerfacecolor=color if filled else "none",
                clip_on=False,
                zorder=4,
            )
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        titles(axes, "top-1 accuracy, %", cost)
        strokes = [((low, 100 * p.accuracy), (high, 100 * p.accuracy)) for p in points for low, high in _spreads(p)]
        _name_points(axes, points, best, [*pairwise(corners), *strokes])
        said = ", ".join(point.label for point in best)
        all_points = ", ".join(f"{point.label} {percent(point.accuracy)} at {point.cost:.3g}" for point in points)
        return to_svg(axes, name, f"Top-1 accuracy against {cost}: {all_points}. Not beaten in both: {said}.")


def _limits(axes: Axes, points: Sequence[Point]) -> None:
    """Room around the points; costs from 0, so that lengths can be compared."""
    accuracies = [100 * point.accuracy for point in points]
    room = max(0.15 * (max(accuracies) - min(accuracies)), 0.5)
    axes.set_xlim(0, 1.06 * max(max((point.cost, *(point.spread or ()))) for point in points))
    axes.set_ylim(min(accuracies) - room, max(accuracies) + room)


def _spreads(point: Point) -> list[tuple[float, float]]:
    return [] if point.spread is None else [point.spread]


def _name_points(axes: Axes, points: Sequence[Point], best: Sequence[Point], lines: Sequence[_Stroke]) -> None:
    """Each name beside its point, where it covers as little as can be of points, lines and other names."""
    box = axes.get_window_extent()
    centres = {point: axes.transData.transform((point.cost, 100 * point.accuracy)) for point in points}
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in centres.values()]
    for ends in lines:
        (x0, y0), (x1, y1) = axes.transData.transform(ends)
        taken.append((min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
    for point in (*best, *(point for point in points if point not in best)):
        text = short_label(point.label, LONGEST)
        x, y = (float(value) for value in centres[point])
        length = text_width(text) * (1.12 if point in best else 1)  # bold is wider
        places = [
            place
            for shift in (0, 1, -1, 2, -2, 3, -3)
            for place in ((x + _GAP, y + shift * _LINE, "left"), (x - _GAP, y + shift * _LINE, "right"))
        ]
        rated = []
        for number, (at, height, side) in enumerate(places):
            left = at if side == "left" else at - length
            area = (left, height - _LINE / 2, left + length, height + _LINE / 2)
            outside = area[0] < 0 or area[2] > box.x1 + 16 or area[1] < box.y0 or area[3] > box.y1 + 20
            covered = sum(_overlap(area, other) for other in taken)
            rated.append((1000 * outside + covered, number, at, height, side, area))
        _, _, at, height, side, area = min(rated)
        taken.append(area)
        axes.annotate(
            text,
            (at, height),
            xycoords="figure pixels",
            va="center",
            ha=side,
            color=INK,
            fontweight="bold" if point in best else "normal",
            annotation_clip=False,
        )


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """The area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
