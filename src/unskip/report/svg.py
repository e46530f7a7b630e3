"""Matplotlib figures as inline SVG that takes its colours and its font from the page.

Figures are drawn in place-holder colours; the SVG refers to the page's CSS variables instead, so that one
drawing suits light and dark schemes. One figure unit is one CSS pixel.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["INK", "MUTED", "NUM_COLORS", "RULE", "canvas", "net_color", "to_svg", "visible"]

NUM_COLORS = 7  # the page's --net-0, which is the teacher's, to --net-6

INK, MUTED, RULE = "#0000f1", "#0000f2", "#0000f3"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule"}

STYLE: dict[Any, Any] = {
    "figure.dpi": 72,
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": RULE,
    "grid.linewidth": 1,
    "lines.solid_capstyle": "round",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "svg.fonttype": "none",
    "text.parse_math": False,  # labels are the user's: a dollar is a dollar
}


def net_color(index: int) -> str:
    """The place-holder for the page's colour of net number ``index``; the teacher is number 0."""
    return f"#0000a{index}"  # not black, which Matplotlib leaves out of a style


VARIABLES |= {net_color(index): f"--net-{index}" for index in range(NUM_COLORS)}


def visible(text: str) -> str:
    """The text without control characters, which no XML may hold."""
    return "".join(character for character in text if unicodedata.category(character) not in ("Cc", "Cn", "Cs"))


@contextmanager
def canvas(
    width: int, height: int, *, left: int = 40, right: int = 12, top: int = 26, bottom: int = 38
) -> Iterator[Axes]:
    """Axes in the report's style, with sizes and margins in pixels, for drawing and then :func:`to_svg`."""
    with (
        style.context(["default", STYLE]),
        warnings.catch_warnings(),
    ):  # whatever the user's matplotlibrc says
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has it
        figure = Figure(figsize=(width / 72, height / 72))
        figure.patch.set_visible(False)
        box = (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
        axes = figure.add_axes(box)
        axes.patch.set_visible(False)
        yield axes


def to_svg(axes: Axes, name: str, alt: str) -> Markup:
    """The figure of ``axes`` as an ``<svg>`` element; call it within its :func:`canvas`.

    Args:
        axes: What :func:`canvas` gave.
        name: Unique in the page; every id of the drawing starts with it.
        alt: What the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    _drop(root, "metadata", "style")
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": visible(alt)})
    targets = set(re.findall(r"#([pm]\w+)", buffer.getvalue()))
    for element in root.iter():
        _simplify(element, f"{name}-", targets)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _drop(parent: ElementTree.Element, *tags: str) -> None:
    for child in list(parent):
        if child.tag.rpartition("}")[2] in tags:
            parent.remove(child)
        else:
            _drop(child, *tags)


def _simplify(element: ElementTree.Element, prefix: str, targets: set[str]) -> None:
    """Plain tags and attributes as HTML wants them, ids unique in the page, the page's colours and font."""
    element.tag = element.tag.rpartition("}")[2]
    if not (element.text or "").strip():
        element.text = None
    element.tail = None
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        key = key.rpartition("}")[2]
        if key == "id":
            if value in targets:
                element.set("id", prefix + value)
            continue
        if key == "href":
            value = value.replace("#", f"#{prefix}")
        elif key == "clip-path":
            value = value.replace("url(#", f"url(#{prefix}")
        elif key == "style":
            value = re.sub(r"#0000\w\w", lambda found: f"var({VARIABLES[found[0]]})", value)
            value = re.sub(r"font-family: [^;]*; ?", "", value)
        elif key == "d":
            value = re.sub(r"(\d\.\d\d)\d+", r"\1", value).replace(" \n", " ").strip()
        element.set(key, value)
