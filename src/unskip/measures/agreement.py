"""The share in which a network answers as its teacher does."""

from __future__ import annotations

from typing import ClassVar

from unskip.measures._scores import Scored

__all__ = ["Agreement"]


class Agreement(Scored):
    """The share in which a network answers as its teacher does."""

    title: ClassVar[str] = "Agreement"
    order: ClassVar[int] = 12
    definition: ClassVar[str] = "Agreement: how far the answers to the test images are the teacher's"
