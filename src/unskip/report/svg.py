"""Matplotlib figures as inline SVG that takes its colours and its font from the page.

Matplotlib is imported where something is drawn: tables and sentences need none of it, and start without.

Figures are drawn in place-holder colours; the SVG refers to the page's CSS variables instead, so that one
drawing suits light and dark schemes. One figure unit is one CSS pixel.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "BOUNDS",
    "INK",
    "MUTED",
    "NUM_COLORS",
    "RULE",
    "bound_color",
    "canvas",
    "canvases",
    "lay_out",
    "net_color",
    "round_ticks",
    "to_svg",
    "visible",
]

NUM_COLORS = 7  # the page's --net-0, which is the teacher's, to --net-6

INK, MUTED, RULE = "#0000f1", "#0000f2", "#0000f3"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule"}

STYLE = Path(__file__).with_name("page.mplstyle")


def net_color(index: int) -> str:
    """The place-holder for the page's colour of net number ``index``; the teacher is number 0."""
    return f"#0000a{index}"  # not black, which Matplotlib leaves out of a style


VARIABLES |= {net_color(index): f"--net-{index}" for index in range(NUM_COLORS)}

BOUNDS = ("compute", "sram", "dram", "flash")  # what a layer's cycles go by, each with a colour of the page's


def bound_color(bound: str) -> str:
    """The place-holder for the page's colour of what a layer is bound by; memories of other names share the last."""
    return f"#0000b{BOUNDS.index(bound) if bound in BOUNDS else len(BOUNDS) - 1}"


VARIABLES |= {bound_color(bound): f"--bound-{bound}" for bound in BOUNDS}


def visible(text: str) -> str:
    """The text without control characters, which no XML may hold."""
    return "".join(character for character in text if unicodedata.category(character) not in ("Cc", "Cn", "Cs"))


@contextmanager
def canvas(width: int, height: int) -> Iterator[Axes]:
    """Axes in the report's style, of a figure with a size in pixels, for drawing and then :func:`to_svg`."""
    with canvases(width, height, 1) as (axes,):
        yield axes


@contextmanager
def canvases(width: int, height: int, rows: int) -> Iterator[list[Axes]]:
    """Axes one below the other, of the same scales, in one figure; see :func:`canvas`."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]), warnings.catch_warnings():  # whatever the user's matplotlibrc says
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has it
        figure = Figure(figsize=(width / 72, height / 72))
        yield list(figure.subplots(rows, sharex=True, sharey=True, squeeze=False)[:, 0])


def lay_out(axes: Axes) -> Figure:
    """The figure of ``axes``, everything in its place, so that what comes next can go by that."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    return figure


def round_ticks(
    axis: Axis, most: int = 5, *, steps: Sequence[int] | None = (1, 2, 5, 10), integer: bool = False
) -> None:
    """At most so many intervals between ticks, at multiples of ``steps``, of Matplotlib's own steps where None."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=steps, integer=integer))


def to_svg(axes: Axes, name: str, alt: str) -> Markup:
    """The figure of ``axes`` as an ``<svg>`` element; call it within its :func:`canvas`.

    Args:
        axes: What :func:`canvas` gave.
        name: Unique in the page; every id of the drawing starts with it.
        alt: What the figure shows, for those who cannot see it.
    """
    from matplotlib import rc_context

    figure, buffer = axes.get_figure(root=True), io.StringIO()
    assert figure is not None
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawing = buffer.getvalue().partition("</defs>")[2]  # before it lie a licence and a style for the whole page
    inside = re.sub(r"<[^>]*>", lambda tag: _on_page(tag[0], f"{name}-"), drawing)
    head = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">')
    return head.format(*figure.bbox.size, visible(alt)) + Markup(inside)


def _on_page(tag: str, prefix: str) -> str:
    """A tag with ids that are unique in the page, the page's colours and its font."""
    tag = re.sub(r'\bid="|(?:xlink:)?href="#|url\(#', lambda match: match[0].removeprefix("xlink:") + prefix, tag)
    tag = re.sub(r"#0000\w\w", lambda match: f"var({VARIABLES[match[0]]})", tag)
    tag = re.sub(r"font-family: [^;]*; ?", "", tag)
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag)
