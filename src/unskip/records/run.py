"""A run's results as ``run.json`` holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from unskip.chance import is_at_chance
from unskip.records.answers import Answers
from unskip.records.comparison import Cell, Comparison, Subject
from unskip.records.figures import Figure, Record, Share
from unskip.records.reading import read_record


class Data(Record):
    """The images of the run; ``image_shape`` is (channels, height, width), ``classes`` are none without labels.

    ``chance`` is the score of an answer without a look at the test images, None where nobody can tell.
    """

    name: str
    path: str | None = None
    num_train: int
    num_test: int = Field(ge=1)
    classes: tuple[str, ...] = ()
    image_shape: tuple[int, int, int]
    fingerprint: str
    chance: Share | None = None


class Net(Record):
    """One network of the run and where it comes from; its figures are in the comparison, under the same label.

    ``training`` names the training that it comes out of, where that is not its own.
    """

    label: str
    role: Literal["teacher", "student"]
    method: str | None = None
    training: str | None = None
    epochs: int
    seconds: float | None = None
    reused: bool = False


class Epoch(Record):
    """One epoch of training; ``seconds`` counts from its start, ``score`` is null without a validation."""

    epoch: int
    seconds: float
    loss: float
    terms: dict[str, float]
    score: Share | None = None


class Run(Record):
    """The whole of ``run.json``. ``metric`` names the measure that the task decides by.

    ``answers`` are those of the teacher and of the best student, the ``winner``, to the test images; None where the
    task knows no classes.
    """

    unskip: str
    title: str
    started: str
    seconds: float
    task: str = "classification"
    metric: str = "top1"
    best: str
    seed: int
    data: Data
    nets: tuple[Net, ...]
    history: dict[str, tuple[Epoch, ...]]
    comparison: Comparison
    answers: Answers | None = None
    recipe: dict[str, Any]

    @model_validator(mode="after")
    def _complete(self) -> Run:
        if sum(net.role == "teacher" for net in self.nets) != 1:
            raise ValueError("nets must hold exactly one teacher")
        labels = [net.label for net in self.nets]
        if self.best not in [net.label for net in self.students]:
            raise ValueError(f"best is {self.best!r}, which is no student among {labels}")
        if labels != [subject.label for subject in self.comparison.subjects]:
            raise ValueError(f"the comparison must have the subjects {labels}")
        scores = {net.label: self.figure(net, self.metric).value for net in self.nets}
        if not all(value is not None and 0 <= value <= 1 for value in scores.values()):
            raise ValueError(f"every net must have {self.metric} from 0 to 1, got {scores}")
        return self

    @property
    def teacher(self) -> Net:
        """The net with shortcuts."""
        return next(net for net in self.nets if net.role == "teacher")

    @property
    def students(self) -> tuple[Net, ...]:
        """All students, in the order of the recipe."""
        return tuple(net for net in self.nets if net.role == "student")

    @property
    def best_student(self) -> Net:
        """The student that the run names as its best."""
        return next(net for net in self.students if net.label == self.best)

    def subject(self, net: Net) -> Subject:
        """A net as the comparison has it."""
        return self.comparison.subject(net.label)

    def cell(self, net: Net) -> Cell:
        """A net's file in the only setting of the comparison."""
        return self.comparison.groups[0].cell(net.label)

    def figure(self, net: Net, measure: str) -> Figure:
        """A net's own figure, and its file's where a net has none; without a value where it was not measured."""
        return self.subject(net).figures.get(measure) or self.cell(net).figures.get(measure, Figure())

    def score(self, net: Net) -> float:
        """What the task decides by, on the test images."""
        value = self.figure(net, self.metric).value
        assert value is not None, "every net of a run was evaluated"
        return value

    def is_at_chance(self, net: Net) -> bool:
        """Whether a net is no better than guessing, beyond the noise of the test images."""
        chance = self.data.chance
        return chance is not None and is_at_chance(self.score(net), chance, self.data.num_test)

    def training_of(self, net: Net) -> str:
        """The label under which :attr:`history` has the training that a net comes out of."""
        return net.training or net.label

    def epochs_of(self, net: Net) -> tuple[Epoch, ...]:
        """The epochs of the training that a net comes out of; none where it was not trained in this run."""
        return self.history.get(self.training_of(net), ())

    def validated(self, net: Net) -> Net:
        """The net whose score the training's epochs have: the first of those that come out of it."""
        return self.trainings[self.training_of(net)][0]

    @property
    def trainings(self) -> dict[str, list[Net]]:
        """The nets by the training that they come out of, in the order of the run."""
        nets: dict[str, list[Net]] = {}
        for net in self.nets:
            nets.setdefault(self.training_of(net), []).append(net)
        return nets

    @property
    def baseline(self) -> Net | None:
        """The best student's twin that was trained without a teacher, if there is one beside it."""

        def architecture(net: Net) -> tuple[object, ...]:
            subject, counts = self.subject(net), [self.figure(net, name).value for name in ("parameters", "macs")]
            return subject.source, subject.depth, subject.shortcuts, *counts

        best = self.best_student
        alone = (net for net in self.students if net != best and net.method == "ce")
        return next((net for net in alone if architecture(net) == architecture(best)), None)

    @classmethod
    def read(cls, run_folder: Path) -> Run:
        """The results in ``run_folder``; :class:`UnskipError` if there are none that can be read."""
        return read_record(
            cls,
            run_folder / "run.json",
            missing="a report needs the results of a finished run; run `unskip run` first",
            contents="a run's results",
            remedy="delete it and give the same `unskip run` again",
        )
