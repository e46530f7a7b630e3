"""The share of images whose most likely class is the right one."""

from __future__ import annotations

from unskip.measures._scores import Scored

__all__ = ["Top1"]


class Top1(Scored):
    """The share of test images whose most likely class is the right one."""

    title = "Top-1"
    order = 10
