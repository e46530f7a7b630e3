"""What the user's own function says of a network."""

from __future__ import annotations

from unskip.measures._scores import Scored

__all__ = ["OwnScore"]


class OwnScore(Scored):
    """What the function that the recipe names says of the network."""

    title = "Own score"
    order = 14
