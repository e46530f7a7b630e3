"""What `unskip shrink` found, as ``shrink.json`` holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from unskip.records.answers import Answers
from unskip.records.comparison import Load
from unskip.records.figures import About, Figure, Record, Share
from unskip.records.reading import read_record
from unskip.records.run import Data

Outcome = Literal["met", "not met", "met already", "cannot be met"]

ACCURACY_DROP = "accuracy_drop"
"""Names the limit on accuracy among those that are `met`."""

_ROUNDING = 1e-9  # of differences between shares


class Rung(Record):
    """A training of a trial: its ``number`` from 1, on a ``share`` of the training images, and the score it led to.

    ``method`` is None where it is the trial's.
    """

    number: int = Field(ge=1)
    method: str | None = None
    epochs: FiniteFloat = Field(ge=0)
    share: Share = 1.0
    seconds: FiniteFloat = Field(ge=0)
    score: Share


class Trial(Record):
    """A network that was tried, or could have been: without ``rungs``, it was not trained.

    ``words`` say what was done to the teacher, ``edits`` the same as a recipe has them. ``method`` suits a long
    training. ``figures`` are those on the target, by measure and by relative limit. ``dropped`` says in words why it
    was not trained further, empty for the winner. ``input_shape`` is (channels, height, width).
    """

    label: str
    words: str
    edits: tuple[Any, ...] = ()
    method: str | None = None
    input_shape: tuple[int, int, int]
    shortcuts: int = Field(0, ge=0)
    figures: dict[str, Figure]
    rungs: tuple[Rung, ...] = ()
    dropped: str = ""

    @property
    def score(self) -> float | None:
        """After its last rung; None where it was not trained."""
        return self.rungs[-1].score if self.rungs else None


class Teacher(Record):
    """The network that was given: its score, and the figures of its file on the target.

    ``weights`` names where its weights come from, None where it was trained here.
    """

    label: str = "teacher"
    score: Share
    shortcuts: int = Field(0, ge=0)
    weights: str | None = None
    input_shape: tuple[int, int, int]
    figures: dict[str, Figure]


class Proof(Record):
    """How the file answers beside the network that it was made from, both given the same ``images`` of the tests.

    ``runtime`` ran the file; that of a device computes its integers on this machine. Differences are relative to the
    largest answer; at most ``tolerance`` is allowed, None in 8 bits, where the score decides. ``agreement`` is the
    share of the images to which both give the same class, ``quantized_agreement`` that of the file and the network with
    8-bit integers, where the format quantises by itself. ``quantization`` says in words how the 8 bits came about.
    """

    runtime: str
    images: int = Field(ge=1)
    max_difference: FiniteFloat = Field(ge=0)
    mean_difference: FiniteFloat = Field(ge=0)
    tolerance: FiniteFloat | None = None
    agreement: Share
    quantized_agreement: Share | None = None
    quantization: str = ""


class Winner(Record):
    """The trial that got the remaining time, and the file that it became.

    ``label`` is that of its trial. ``planned_epochs`` were expected before the first trial, None in records of
    earlier versions and where they were less than one. ``score`` is the network's, in float32, ``file_score`` that
    of the ``file`` on all test images, and ``figures`` are measured on the file. ``file`` and ``weights`` are paths
    within the folder, ``recipe`` is the whole recipe that makes it alone. ``mean``, ``std`` and ``preprocessing``
    say how it takes images, as its files do; where it ``normalizes``, the file takes them scaled to 0..1.
    ``beside`` names the other files of the format that belong to it, ``deployed`` those of all that go where the
    network runs. ``proof`` is None in records of earlier versions.
    """

    label: str
    method: str
    epochs: FiniteFloat
    planned_epochs: int | None = None
    seconds: FiniteFloat
    score: Share
    weights: str
    file: str
    beside: tuple[str, ...] = ()
    deployed: tuple[str, ...] = ()
    format: str
    runtime: str
    precision: str = "float32"
    sha256: str
    file_score: Share
    proof: Proof | None = None
    figures: dict[str, Figure]
    recipe: dict[str, Any]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    preprocessing: dict[str, Any] | None = None
    normalizes: bool = True


class WayOut(Record):
    """What would meet a budget that nothing meets as it was asked, or comes nearest to it; ``figures`` as in trials."""

    words: str
    figures: dict[str, Figure]
    meets: bool


class Shrink(Record):
    """The whole of ``shrink.json``. ``metric`` names the measure that the task decides by.

    ``scored_on`` says in words which images the scores of rungs come from; all others come from the test images.
    ``target`` is the runtime, or the device and its configuration, in words, with what these mean in ``meanings``;
    ``estimated`` where a compiler gave its
    figures and nothing was run. ``limits`` are as they were asked, ``most`` what they come to: by measure, or by
    relative limit. ``accuracy_drop`` is in percentage points. ``measures`` says what the figures are. ``asked_seconds``
    is the time that was given, ``estimated_seconds`` what was expected before the first trial. Without a ``winner``
    the teacher meets the budget itself, or nothing does, and ``ways_out`` says what would.
    """

    unskip: str
    started: str
    seconds: FiniteFloat
    estimated_seconds: FiniteFloat | None = None
    asked_seconds: FiniteFloat | None = None
    preset: str | None = None
    net: str
    command: str
    seed: int = 0
    data: Data
    metric: str = "top1"
    scored_on: str = "test images"
    target: str
    meanings: dict[str, str] = Field(default_factory=dict)
    estimated: bool = False
    limits: dict[str, float | str]
    most: dict[str, FiniteFloat]
    accuracy_drop: FiniteFloat | None = None
    measures: dict[str, About]
    teacher: Teacher
    trials: tuple[Trial, ...] = ()
    winner: Winner | None = None
    answers: Answers | None = None
    ways_out: tuple[WayOut, ...] = ()
    notes: tuple[str, ...] = ()
    environment: dict[str, str | int]
    load: Load

    @model_validator(mode="after")
    def _complete(self) -> Shrink:
        labels = [trial.label for trial in self.trials]
        if len(set(labels)) != len(labels):
            raise ValueError(f"the labels of trials must differ, got {labels}")
        if self.winner is not None and self.winner.label not in labels:
            raise ValueError(f"the winner is {self.winner.label!r}, which is no trial among {labels}")
        if unknown := {self.metric, *self.most} - self.measures.keys():
            raise ValueError(f"measures must say what {', '.join(sorted(unknown))} is")
        return self

    @property
    def outcome(self) -> Outcome:
        """Whether the winner's file meets the budget, and without a winner, whether the teacher's does."""
        if self.winner is None:
            return "met already" if all(self.met_by(self.teacher.figures).values()) else "cannot be met"
        return "met" if all(self.met.values()) else "not met"

    @property
    def met(self) -> dict[str, bool]:
        """Which limits the winner's file keeps, by their names in ``most``, that on accuracy among them."""
        if self.winner is None:
            return {}
        met = self.met_by(self.winner.figures)
        if self.accuracy_drop is not None:
            met[ACCURACY_DROP] = 100 * (self.drop or 0) <= self.accuracy_drop + _ROUNDING
        return met

    def met_by(self, figures: dict[str, Figure]) -> dict[str, bool]:
        """Which limits such figures keep; a limit of what nobody measured is not kept."""
        values = {name: figures.get(name, Figure()).value for name in self.most}
        return {name: value is not None and value <= self.most[name] for name, value in values.items()}

    @property
    def drop(self) -> float | None:
        """How much the winner's file is below the teacher, as a share; negative where it is above."""
        return None if self.winner is None else self.teacher.score - self.winner.file_score

    @property
    def winning_trial(self) -> Trial | None:
        """The trial that the winner comes out of."""
        return next((trial for trial in self.trials if self.winner and trial.label == self.winner.label), None)

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """Those that every trial was trained with, or would be, in turn, each once; by the trial's label."""
        found: dict[str, tuple[str, ...]] = {}
        for trial in self.trials:
            used = [rung.method or trial.method for rung in trial.rungs]
            if self.winner is not None and trial is self.winning_trial:
                used.append(self.winner.method)
            found[trial.label] = tuple(dict.fromkeys(filter(None, used or [trial.method])))
        return found

    @classmethod
    def read(cls, folder: Path) -> Shrink:
        """The results in a shrink's ``folder``; :class:`UnskipError` if there are none that can be read."""
        return read_record(
            cls,
            folder / "shrink.json",
            missing="a report needs the results of a finished `unskip shrink`; give the same command again",
            contents="what `unskip shrink` found",
            remedy="delete it and give the same `unskip shrink` again",
        )
