"""What all steps of a shrink know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from unskip.shrink.folder import Clock, ShrinkFolder
from unskip.shrink.looking import Looked
from unskip.shrink.plan import SPARE, Plan
from unskip.shrink.request import Request


@dataclass(frozen=True)
class Work:
    """The request, what was found of it, and where the work is kept; ``say`` is told what is being done."""

    request: Request
    folder: ShrinkFolder
    clock: Clock
    looked: Looked
    plan: Plan
    console: Console
    say: Callable[[str], None]

    @property
    def training_seconds(self) -> float:
        """What is left for training, without what comes after it."""
        return max(0.0, SPARE * self.plan.total_seconds - self.clock.seconds - self.plan.end_seconds)

    def print(self, text: str) -> None:
        """A line for the reader."""
        self.console.print(text, highlight=False)
