"""What the measures that a task decides by have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unskip.measures.base import Measure, MeasuredFile, MeasuredNet
from unskip.records import Figure

if TYPE_CHECKING:
    from unskip.tasks import Score


class Scored(Measure):
    """A share of the test images, one of the figures of a task's score, under its name there."""

    unit = "share"
    better = "higher"
    kind = "answers"

    def of_net(self, net: MeasuredNet) -> Figure | None:
        """None where nobody asked, and for the figure of another task."""
        return self._figure(net.score, net.metric)

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """Of the file, run by the runtime that it was written for."""
        return self._figure(file.score, file.net.metric)

    def _figure(self, score: Score | str | None, metric: str) -> Figure | None:
        if isinstance(score, str):
            return Figure(unknown=score) if self.name == metric else None
        if score is None or self.name not in score.figures:
            return None
        return Figure(value=score.figures[self.name], images=score.images)
