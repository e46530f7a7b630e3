"""Networks and their files side by side: subjects x measures x settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from unskip.records.estimate import Estimate
from unskip.records.figures import About, Figure, Record, Speedup, Timeline

BUSY = 0.25  # of the cores; above that, other processes are worth a warning


class Subject(Record):
    """One of the things that are compared, under a label that no other has.

    ``net`` is its network in words, which ``source`` was before any edit, ``depth`` the blocks that are left in each
    stage, None for all of them or where a file does not say. ``unopened`` modules may have more than these
    ``shortcuts``. ``input_shape`` is (channels, height, width). ``figures``, by their measures' names, are those of
    the network itself, for one image.
    """

    label: str
    kind: Literal["run", "weights", "file", "name", "net"]
    net: str | None = None
    source: str | None = None
    depth: tuple[int, ...] | None = None
    shortcuts: int | None = None
    unopened: int = 0
    precision: str = "float32"
    input_shape: tuple[int, int, int]
    memory: Timeline | None = None
    figures: dict[str, Figure] = Field(default_factory=dict)


class Cell(Record):
    """A subject's file in one setting; ``figures``, by their measures' names, are those of the file, for a batch.

    ``sha256`` is that of all that belongs to the file. Where nothing could be measured, ``refused`` says why.
    ``speedup`` compares with the first subject in the same rounds, None for that one itself. ``estimate`` is what a
    device's compiler says of the file, where the setting is a device.
    """

    subject: str
    file: str | None = None
    sha256: str | None = None
    refused: str | None = None
    figures: dict[str, Figure] = Field(default_factory=dict)
    speedup: Speedup | None = None
    estimate: Estimate | None = None


class Group(Record):
    """A setting, and all subjects in it: they were measured in the same rounds. ``runtime`` has its version.

    Where ``target`` is set, a device and its configuration in words, nothing was run: ``runtime`` is the compiler that
    estimated the figures for it, and ``meanings`` says what the words of its configuration mean.
    """

    runtime: str
    target: str | None = None
    meanings: dict[str, str] = Field(default_factory=dict)
    threads: int
    batch_size: int
    device: str
    cells: tuple[Cell, ...] = Field(min_length=1)

    def cell(self, label: str) -> Cell:
        """That of a subject."""
        return next(cell for cell in self.cells if cell.subject == label)


class Load(Record):
    """How busy the machine was before anything began: processes that run or want to, averaged over a minute."""

    average: float | None
    cores: int

    def __str__(self) -> str:
        average = "unknown" if self.average is None else f"{self.average:.1f}"
        return f"load average {average} on {self.cores} core{'s' * (self.cores != 1)}"

    @property
    def is_high(self) -> bool:
        """Whether other processes are likely to be in the way."""
        return self.average is not None and self.average > BUSY * self.cores

    @property
    def warning(self) -> str | None:
        """What stands beside every latency that was measured on a busy machine."""
        if not self.is_high:
            return None
        return (
            f"other processes load this machine ({self}): latencies are longer and vary more than on an idle one; "
            "ratios suffer less"
        )


class Comparison(Record):
    """What was measured of subjects, the first of which the others are compared with.

    ``measures`` says what the figures are, by name, in the order of a table's columns. Latencies come from ``repeats``
    rounds over ``processes`` fresh processes of every file.
    """

    unskip: str
    started: str
    seconds: float
    repeats: int
    processes: int
    load: Load
    measures: dict[str, About]
    subjects: tuple[Subject, ...] = Field(min_length=1)
    groups: tuple[Group, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    environment: dict[str, str | int]

    @model_validator(mode="after")
    def _complete(self) -> Comparison:
        labels = [subject.label for subject in self.subjects]
        if len(set(labels)) != len(labels):
            raise ValueError(f"the labels of subjects must differ, got {labels}")
        if any([cell.subject for cell in group.cells] != labels for group in self.groups):
            raise ValueError(f"every group must have one cell for each of {labels}, in this order")
        return self

    @property
    def first(self) -> Subject:
        """What the others are compared with."""
        return self.subjects[0]

    def subject(self, label: str) -> Subject:
        """The subject of that label."""
        return next(subject for subject in self.subjects if subject.label == label)

    def figure(self, label: str, measure: str, group: Group | None = None) -> Figure:
        """A subject's figure: that of its network, or, in a setting, that of its file; without a value if neither is.

        What only a network has, its parameters, is the same in every setting.
        """
        figures = self.subject(label).figures
        if group is not None:
            figures = figures | group.cell(label).figures
        return figures.get(measure, Figure())
