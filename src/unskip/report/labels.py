"""What is written beside lines and points: names that do not touch, titles that need no turned head."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from unskip.report.svg import INK, MUTED, visible

__all__ = ["CHARACTER", "End", "label_ends", "margin", "short_label", "spread", "text_width", "titles"]

CHARACTER = 7  # average width in pixels at the plots' font size
LONGEST_LABEL = 16


def titles(axes: Axes, vertical: str, horizontal: str) -> None:
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
class End:
    """Where a line ends or peaks, and what it is called."""

    text: str
    x: float
    y: float
    color: str
    bold: bool = False


def label_ends(axes: Axes, ends: Sequence[End], gap: float = 15) -> None:
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


def short_label(text: str, longest: int = LONGEST_LABEL) -> str:
    """A label that fits beside a plot, cut in the middle: long names tend to differ at their ends."""
    text = visible(text)
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[1 - half :]}"


def text_width(text: str) -> int:
    """About how many pixels a text takes; East Asian characters are twice as wide."""
    return CHARACTER * sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def margin(texts: Iterable[str]) -> int:
    """Room for the longest of the labels."""
    return 22 + max((text_width(short_label(text)) for text in texts), default=0)
