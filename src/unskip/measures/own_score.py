"""What the user's own function says of a network."""

from __future__ import annotations

from typing import ClassVar

from unskip.measures._scores import Scored

__all__ = ["OwnScore"]


class OwnScore(Scored):
    """What the user's own function says of a network."""

    title: ClassVar[str] = "Own score"
    order: ClassVar[int] = 14
    definition: ClassVar[str] = "Own score: what the function that the recipe names says of the network"
