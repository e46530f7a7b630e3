"""How far a network answers as its teacher does."""

from __future__ import annotations

from typing import ClassVar

from unskip.measures._scores import Scored

__all__ = ["Agreement"]


class Agreement(Scored):
    """How far a network answers as its teacher does."""

    title: ClassVar[str] = "Agreement"
    order: ClassVar[int] = 12
    definition: ClassVar[str] = (
        "Agreement: the share of the variance of the teacher's answers to the test images that the answers explain"
    )
