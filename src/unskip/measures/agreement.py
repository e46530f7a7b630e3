"""How far a network answers as its teacher does."""

from __future__ import annotations

from unskip.measures._scores import Scored

__all__ = ["Agreement"]


class Agreement(Scored):
    """The share of the variance of the teacher's answers to the test images that the answers explain."""

    title = "Agreement"
    order = 12
