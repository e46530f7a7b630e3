"""The share of images with the right class among the five most likely."""

from __future__ import annotations

from typing import ClassVar

from unskip.measures._scores import Scored

__all__ = ["Top5"]


class Top5(Scored):
    """The share of images with the right class among the five most likely."""

    title: ClassVar[str] = "Top-5"
    order: ClassVar[int] = 11
    definition: ClassVar[str] = "Top-5: the share of test images with the right class among the five most likely"
