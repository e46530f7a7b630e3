"""Names beside lines and points that do not touch each other, so that no plot needs a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from unskip.report.svg import INK, lay_out, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class End:
    """Where a line ends or peaks, and what it is called."""

    text: str
    x: float
    y: float
    color: str
    bold: bool = False


def label_ends(axes: Axes, ends: Sequence[End], gap: float = 15) -> None:
    """Names at the right, as high as their lines end unless they would touch, with leaders to the lines."""
    from matplotlib.text import OffsetFrom

    lay_out(axes)
    box = axes.get_window_extent()
    wanted = [float(axes.transData.transform((end.x, end.y))[1]) for end in ends]
    for end, y in zip(ends, spread(wanted, gap, low=box.y0 + 4, high=box.y1 + 4), strict=True):
        leader = {"arrowstyle": "-", "color": end.color, "linewidth": 0.8, "linestyle": (0, (1, 2))}
        axes.annotate(
            end.text,
            (end.x, end.y),
            (14, (y - box.y0) / box.height),
            textcoords=(OffsetFrom(axes, (1, 0), unit="pixels"), "axes fraction"),
            va="center",
            color=INK,
            fontweight="bold" if end.bold else "normal",
            annotation_clip=False,
            arrowprops=leader | {"relpos": (0, 0.5), "shrinkA": 3, "shrinkB": 4},
        )


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least ``gap`` apart and, if they fit, in bounds."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    upwards = list(accumulate((max(heights[i], low) for i in order), lambda below, y: max(y, below + gap)))
    downwards = accumulate(reversed(upwards), lambda above, y: min(y, above - gap), initial=high + gap)
    placed = list(downwards)[:0:-1]
    return [position for _, position in sorted(zip(order, placed, strict=True))]


def short_label(text: str, longest: int = 16) -> str:
    """A label that fits beside a plot, cut in the middle: long names tend to differ at their ends."""
    text = visible(text)
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[1 - half :]}"
