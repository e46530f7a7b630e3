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
    "DARK",
    "INK",
    "LIGHT",
    "MUTED",
    "NUM_COLORS",
    "RULE",
    "bound_color",
    "canvas",
    "canvases",
    "lay_out",
    "net_color",
    "round_ticks",
    "standalone",
    "to_svg",
    "visible",
]

NUM_COLORS = 7  # the page's --net-0, which is the teacher's, to --net-6

INK, MUTED, RULE = "#0000f1", "#0000f2", "#0000f3"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule"}

LIGHT = {
    "paper": "#fff", "ink": "#1b1f24", "muted": "#5c6570", "rule": "#e3e6ea", "wash": "#f6f7f9",
    "net-0": "#66707c", "net-1": "#0b65ad", "net-2": "#b8460e", "net-3": "#00775a",
    "net-4": "#9c3b80", "net-5": "#846600", "net-6": "#5b4fc4",
    "bound-compute": "#8fa3b8", "bound-sram": "#d3a518", "bound-dram": "#d1421f", "bound-flash": "#7f52c9",
}  # fmt: skip
DARK = {
    "paper": "#14171b", "ink": "#e6e9ed", "muted": "#9aa4b0", "rule": "#2c323a", "wash": "#1c2026",
    "net-0": "#a3adb9", "net-1": "#62b0ee", "net-2": "#f08a52", "net-3": "#3cc49c",
    "net-4": "#de8ec6", "net-5": "#d8b13a", "net-6": "#a49bff",
    "bound-compute": "#64788d", "bound-sram": "#d8b13a", "bound-dram": "#f0673f", "bound-flash": "#a582ea",
}  # fmt: skip

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
def canvases(width: int, height: int, rows: int, columns: int = 1) -> Iterator[list[Axes]]:
    """Axes in one figure, row by row, those of one column of the same scales; see :func:`canvas`."""
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]), warnings.catch_warnings():  # whatever the user's matplotlibrc says
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has it
        figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasSVG(figure)
        shared = columns == 1
        yield list(figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).ravel())


def lay_out(axes: Axes) -> Figure:
    """The figure of ``axes``, everything in its place, so that what comes next can go by that."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
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
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure, buffer = lay_out(axes), io.StringIO()
    assert isinstance(figure.canvas, FigureCanvasSVG)
    figure.set_layout_engine("none")  # savefig would draw it once more for the layout
    with rc_context({"svg.hashsalt": name}):
        figure.canvas.print_svg(buffer, metadata={"Date": None})
    drawing = buffer.getvalue().partition("</defs>")[2]  # before it lie a licence and a style for the whole page
    inside = re.sub(r"<[^>]*>", lambda tag: _on_page(tag[0], f"{name}-"), drawing)
    head = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">')
    return head.format(*figure.bbox.size, visible(alt)) + Markup(inside)


def standalone(drawing: Markup) -> str:
    """A drawing of :func:`to_svg` as a file of its own, light or dark as its reader's screen.

    Its paper is painted: the page around it may be dark where the screen is light.
    """
    head, _, inside = str(drawing).partition(">")
    width, height = re.search(r'viewBox="0 0 (\d+) (\d+)"', head).groups()  # type: ignore[union-attr]
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    used = {"--paper"} | {variable for variable in VARIABLES.values() if f"var({variable})" in inside}
    light, dark = (
        ";".join(f"--{key}:{color}" for key, color in scheme.items() if f"--{key}" in used) for scheme in (LIGHT, DARK)
    )
    page = "background:var(--paper);font-family:system-ui,sans-serif"
    style = f"svg{{{light};{page}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    return f"{head.replace('<svg', f'<svg {size}')}><style>{style}</style>{inside}\n"


def _on_page(tag: str, prefix: str) -> str:
    """A tag with ids that are unique in the page, the page's colours and its font."""
    tag = re.sub(r'\bid="|(?:xlink:)?href="#|url\(#', lambda match: match[0].removeprefix("xlink:") + prefix, tag)
    tag = re.sub(r"#0000\w\w", lambda match: f"var({VARIABLES[match[0]]})", tag)
    tag = re.sub(r"font-family: [^;]*; ?", "", tag)
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag)
