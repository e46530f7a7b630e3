"""A run's results as ``run.json`` holds them: frozen, checked on reading.

Sizes are bytes, times seconds or (where the name says so) milliseconds, accuracies shares between 0 and 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unskip.chance import is_at_chance
from unskip.errors import UnskipError

__all__ = ["Data", "Epoch", "Latency", "Memory", "Net", "Operation", "Parity", "Run", "Spread", "Timeline"]

Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """A part of ``run.json``. Unknown keys are left alone, so that an older report reads a newer run."""

    model_config = ConfigDict(frozen=True)


class Data(Record):
    """The images of the run; ``image_shape`` is (channels, height, width).

    ``chance`` is the share of the most frequent class among the test images; runs of older versions do not know it.
    """

    name: str
    path: str | None = None
    num_train: int
    num_test: int = Field(ge=1)
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    fingerprint: str
    chance: Share | None = None

    @property
    def guessing(self) -> float:
        """The accuracy of always naming the most frequent class, or, where that is not known, of naming any."""
        return 1 / max(1, len(self.classes)) if self.chance is None else self.chance


class Spread(Record):
    """A latency: the median and the 10th to 90th percentile."""

    median_ms: float = Field(gt=0)
    low_ms: float
    high_ms: float


class Parity(Record):
    """How far the exported file is from the net; differences are relative to the largest logit.

    ``constant`` where the net answers every image alike, so that the agreement says nothing.
    """

    max_difference: float
    tolerance: float
    agreement: Share
    images: int
    constant: bool = False


class Net(Record):
    """One network of the run, its accuracy on the test images and what it costs.

    ``training`` names the training that it comes out of, where that is not its own; ``depth`` the blocks that are left
    in each stage, where there are fewer than ``net`` has; ``unopened`` modules may have more than these ``shortcuts``.
    """

    label: str
    role: Literal["teacher", "student"]
    method: str | None = None
    training: str | None = None
    net: str
    depth: tuple[int, ...] | None = None
    shortcuts: int
    unopened: int = 0
    epochs: int
    training_seconds: float | None = None
    reused: bool = False
    top1: Share
    top5: Share | None = None
    parameters: int
    macs: int
    peak_bytes: int = Field(ge=1)
    latency: Spread | None = None
    file: str | None = None
    file_bytes: int | None = None
    file_top1: Share | None = None
    parity: Parity | None = None

    @property
    def architecture(self) -> tuple[object, ...]:
        """What two nets have in common that differ in their training alone."""
        return self.net, self.depth, self.shortcuts, self.parameters, self.macs


class Epoch(Record):
    """One epoch of training; ``seconds`` counts from its start, ``score`` is null without a validation."""

    epoch: int
    seconds: float
    loss: float
    terms: dict[str, float]
    score: Share | None = None


class Operation(Record):
    """One step of inference and the bytes of feature maps alive while it runs."""

    name: str
    live_bytes: int


class Timeline(Record):
    """A net's operations in order of execution."""

    operations: tuple[Operation, ...] = Field(min_length=1)
    peak_bytes: int
    peak_at: str


class Timelines(Record):
    """The teacher and the best student."""

    teacher: Timeline
    student: Timeline


class Memory(Record):
    """Live feature maps over the course of one inference, and the rules of counting them."""

    policy: str
    nets: Timelines


class Latency(Record):
    """How latency was measured; ``speedup`` is the teacher's median over the best student's."""

    runtime: str
    threads: int
    batch_size: int
    repeats: int
    speedup: float = Field(gt=0)


class Run(Record):
    """The whole of ``run.json``."""

    unskip: str
    title: str
    started: str
    seconds: float
    best: str
    seed: int
    data: Data
    nets: tuple[Net, ...]
    history: dict[str, tuple[Epoch, ...]]
    memory: Memory
    latency: Latency | None = None
    recipe: dict[str, Any]
    environment: dict[str, Any]

    @model_validator(mode="after")
    def _complete(self) -> Run:
        if sum(net.role == "teacher" for net in self.nets) != 1:
            raise ValueError("nets must hold exactly one teacher")
        labels = [net.label for net in self.nets]
        if len(set(labels)) != len(labels):
            raise ValueError(f"the labels of nets must differ, got {labels}")
        if self.best not in [net.label for net in self.students]:
            raise ValueError(f"best is {self.best!r}, which is no student among {labels}")
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

    def is_at_chance(self, net: Net) -> bool:
        """Whether a net is no better than guessing, beyond the noise of the test images."""
        return is_at_chance(net.top1, self.data.guessing, self.data.num_test)

    def training_of(self, net: Net) -> str:
        """The label under which :attr:`history` has the training that a net comes out of."""
        return net.training or net.label

    def epochs_of(self, net: Net) -> tuple[Epoch, ...]:
        """The epochs of the training that a net comes out of; none where it was not trained in this run."""
        return self.history.get(self.training_of(net), ())

    def validated(self, net: Net) -> Net:
        """The net whose accuracy the training's epochs have: the first of those that come out of it."""
        return next(other for other in self.nets if self.training_of(other) == self.training_of(net))

    @property
    def trainings(self) -> dict[str, list[Net]]:
        """The nets by the training that they come out of, in the order of the run."""
        found: dict[str, list[Net]] = {}
        for net in self.nets:
            found.setdefault(self.training_of(net), []).append(net)
        return found

    @property
    def baseline(self) -> Net | None:
        """The best student's twin that was trained without a teacher, if there is one beside it."""
        best = self.best_student
        twins = (net for net in self.students if net.architecture == best.architecture and net != best)
        return next((net for net in twins if net.method == "ce"), None)

    @classmethod
    def read(cls, run_folder: Path) -> Run:
        """The results in ``run_folder``; :class:`UnskipError` if there are none that can be read."""
        path = run_folder / "run.json"
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UnskipError(
                f"{path} is missing: a report needs the results of a finished run; run `unskip run` first"
            ) from None
        except ValidationError as error:
            problems = "; ".join(_problem(details["loc"], details["msg"]) for details in error.errors()[:3])
            raise UnskipError(
                f"{path} does not hold a run's results ({problems}); delete it and give the same `unskip run` again"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise UnskipError(
                f"{path} cannot be read as JSON ({error}); delete it and give the same `unskip run` again"
            ) from None


def _problem(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))}: {message}" if place else message
