"""A drawing of a report's page as an SVG file of its own, light or dark as its reader's screen is."""

from __future__ import annotations

from markupsafe import Markup

# What the page of a report says in its style sheet. The paper is painted: a page may be dark where the screen is light.
_STYLE = (
    "<style>svg{--paper:#fff;--ink:#1b1f24;--muted:#5c6570;--rule:#e3e6ea;--net-0:#66707c;--net-1:#0b65ad;"
    "--net-2:#b8460e;background:var(--paper);font-family:system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{--paper:#14171b;--ink:#e6e9ed;--muted:#9aa4b0;--rule:#2c323a;"
    "--net-0:#a3adb9;--net-1:#62b0ee;--net-2:#f08a52}}</style>"
)


def standalone(drawing: Markup, width: int, height: int) -> str:
    """The file of what `to_svg` gave."""
    head, _, inside = str(drawing).partition(">")
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return f"{head.replace('<svg', f'<svg {size}')}>{_STYLE}{inside}\n"
