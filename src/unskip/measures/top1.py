"""The share of images whose most likely class is the right one."""

from __future__ import annotations

from typing import ClassVar

from unskip.measures._scores import Scored

__all__ = ["Top1"]


class Top1(Scored):
    """The share of images whose most likely class is the right one."""

    title: ClassVar[str] = "Top-1"
    order: ClassVar[int] = 10
    definition: ClassVar[str] = "Top-1: the share of test images whose most likely class is the right one"
