"""Run folders beside each other, complete or not, as far as they came."""

from __future__ import annotations

from pydantic import Field

from unskip.records.figures import About, Record
from unskip.records.run import Epoch, Run


class Training(Record):
    """A training of a run: its label, the ``epochs`` that it has behind it, and how many are ``planned``."""

    label: str
    planned: int
    epochs: tuple[Epoch, ...] = ()


class PastRun(Record):
    """A run folder under a label that no other has; ``results`` are None until it is complete.

    ``data`` names its images; ``test_set`` is a hash of its test images and their labels, None where nobody knows.
    ``metric`` names the measure that its task decides by. ``trainings`` are the teacher's, where it trains one, and
    those of its methods.
    """

    label: str
    path: str
    title: str
    seed: int
    data: str
    test_set: str | None = None
    num_test: int | None = None
    metric: str
    trainings: tuple[Training, ...]
    results: Run | None = None


class PastRuns(Record):
    """Runs that are compared, the first of which the others are compared with; ``measures`` says what figures are."""

    unskip: str
    runs: tuple[PastRun, ...] = Field(min_length=1)
    measures: dict[str, About]
