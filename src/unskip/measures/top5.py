"""The share of images with the right class among the five most likely."""

from __future__ import annotations

from unskip.measures._scores import Scored

__all__ = ["Top5"]


class Top5(Scored):
    """The share of test images with the right class among the five most likely."""

    title = "Top-5"
    order = 11
