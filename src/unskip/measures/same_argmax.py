"""In how many places the largest channel is that of the teacher."""

from __future__ import annotations

from unskip.measures._scores import Scored

__all__ = ["SameArgmax"]


class SameArgmax(Scored):
    """The mean over the tensors of the share of places whose largest channel is the teacher's."""

    title = "Same largest channel"
    order = 13
