"""Accuracy against a cost: who gives the most for each price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from unskip.report.labels import short_label
from unskip.report.svg import INK, MUTED, canvas, lay_out, net_color, round_ticks, to_svg
from unskip.units import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_GAP = 9  # pixels between a point and its name
_LINE = 15  # pixels
_FEWEST_POINTS = 5.0  # of per cent on the upright axis, or the noise of few images would look like a difference
LONGEST = 30  # characters of a name


_Line = tuple[tuple[float, float], tuple[float, float]]  # from, to: cost and per cent


@dataclass(frozen=True)
class Point:
    """A net or file: what it costs, its accuracy from 0 to 1, the number of its colour, and the cost's spread.

    ``short``: after a training that was ended early, so that it cannot be compared with the others.
    """

    label: str
    cost: float
    accuracy: float
    color: int
    spread: tuple[float, float] | None = None
    short: bool = False


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both, by cost; of equals, all."""
    unbeaten: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.accuracy)):
        last = unbeaten[-1] if unbeaten else None
        if last is None or point.accuracy > last.accuracy or (point.cost, point.accuracy) == (last.cost, last.accuracy):
            unbeaten.append(point)
    return unbeaten


def pareto_plot(points: Sequence[Point], score: str, cost: str, name: str, *, limit: float | None = None) -> Markup:
    """Scores against costs, with the titles of the two; ``name`` is unique in the page.

    The line joins those that no other beats in both: up and to the left is better. Those of a ``short`` training are
    diamonds and apart from that. An upright line stands at the ``limit`` of the cost.
    """
    best = front([point for point in points if not point.short])
    with canvas(380, 260) as axes:
        heights = [100 * point.accuracy for point in points]
        room = max(0.15 * (max(heights) - min(heights)), 0.5)
        top = min(max(heights) + room, 100.5)
        bottom = min(min(heights) - room, top - _FEWEST_POINTS)
        right = 1.06 * max(limit or 0, *(max((point.cost, *(point.spread or ()))) for point in points))
        axes.set(xlim=(0, right), ylim=(bottom, top))  # costs from 0, so that lengths can be compared
        steps = [(best[0].cost, bottom), *((point.cost, 100 * point.accuracy) for point in best)]
        corners = [steps[0]]
        for (_, before), (x, y) in pairwise(steps):
            corners += [(x, before), (x, y)]
        corners.append((right, corners[-1][1]))
        axes.plot(*zip(*corners, strict=True), color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        strokes = []
        if limit is not None:
            axes.axvline(limit, color=INK, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
            strokes.append(((limit, bottom), (limit, top)))
        for point in points:
            color, height = net_color(point.color), 100 * point.accuracy
            if point.spread is not None:
                axes.plot(point.spread, [height] * 2, color=color, linewidth=1.2, alpha=0.6, zorder=3)
                strokes.append(((point.spread[0], height), (point.spread[1], height)))
            fill: Any = "full" if point in best else "none"
            shape = "D" if point.short else "o"
            marker = axes.plot(point.cost, height, shape, color=color, fillstyle=fill, clip_on=False, zorder=4)
            marker[0].set(markersize=5 if point.short else 7, markeredgewidth=1.6)
        for axis in (axes.xaxis, axes.yaxis):
            round_ticks(axis)
        axes.set_title(f"{score}, %")
        axes.set_xlabel(cost)
        _name_points(axes, points, best, [*pairwise(corners), *strokes])
        unbeaten = ", ".join(point.label for point in best)
        all_points = ", ".join(
            f"{point.label} {percent(point.accuracy)} at {point.cost:.3g}{' after a short training' * point.short}"
            for point in points
        )
        limited = "" if limit is None else f" The limit is {limit:.3g}."
        return to_svg(axes, name, f"{score} against {cost}: {all_points}. Not beaten in both: {unbeaten}.{limited}")


def _name_points(axes: Axes, points: Sequence[Point], best: Sequence[Point], lines: Sequence[_Line]) -> None:
    """Each name beside its point, where it covers as little as can be of points, lines and other names."""
    from matplotlib.transforms import Bbox

    figure = lay_out(axes)
    spots = [axes.transData.transform((point.cost, 100 * point.accuracy)) for point in points]
    taken = [Bbox.from_extents(x, y, x, y).padded(5) for x, y in spots]
    taken += [Bbox(axes.transData.transform(line)).padded(2) for line in lines]
    for point in (*best, *(point for point in points if point not in best)):
        name = axes.annotate(
            short_label(point.label, LONGEST),
            (point.cost, 100 * point.accuracy),
            (0, 0),
            textcoords="offset pixels",
            va="center",
            color=INK,
            fontweight="bold" if point in best else "normal",
            annotation_clip=False,
        )
        name.set_in_layout(False)
        rated = []
        for number, (shift, side) in enumerate(product((0, 1, -1, 2, -2, 3, -3), ("left", "right"))):
            place = {"ha": side, "position": (_GAP if side == "left" else -_GAP, shift * _LINE)}
            name.set(**place)
            area = name.get_window_extent()
            outside = figure.bbox.count_contains(area.corners()) < 4 or area.y0 < axes.bbox.y0
            badness = 1000 * outside + 25 * abs(shift) + sum(_covered(area, other) for other in taken)
            rated.append((badness, number, place, area))
        *_, place, area = min(rated, key=itemgetter(0, 1))
        name.set(**place)
        taken.append(area)


def _covered(one: Bbox, other: Bbox) -> float:
    """The area that two boxes share."""
    shared = one.intersection(one, other)
    return 0.0 if shared is None else float(shared.width * shared.height)
