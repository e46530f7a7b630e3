"""In how many places the largest channel is that of the teacher."""

from __future__ import annotations

from typing import ClassVar

from unskip.measures._scores import Scored

__all__ = ["SameArgmax"]


class SameArgmax(Scored):
    """In how many places the largest channel is that of the teacher."""

    title: ClassVar[str] = "Same largest channel"
    order: ClassVar[int] = 13
    definition: ClassVar[str] = (
        "Same largest channel: the mean over the tensors of the share of places whose largest channel is the teacher's"
    )
