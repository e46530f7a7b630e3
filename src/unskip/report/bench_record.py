"""What a benchmark found, as its JSON file holds it: frozen, checked on reading.

Sizes are bytes, times seconds or (where the name says so) milliseconds, accuracies shares between 0 and 1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unskip.report.record import Record, Share, Timeline

__all__ = [
    "Bench",
    "Cell",
    "FileAccuracy",
    "FileParity",
    "Group",
    "Load",
    "PeakMemory",
    "Ratio",
    "Subject",
    "Times",
]


class Subject(Record):
    """One of the things that are compared; ``label`` is what it was called on the command line.

    ``net`` is its network in words, None where a file does not say; ``input_shape`` is (channels, height, width).
    ``memory`` are the live feature maps of one image, counted as ``policy`` says.
    """

    label: str
    kind: Literal["run", "weights", "file", "name"]
    net: str | None = None
    precision: str = "float32"
    input_shape: tuple[int, int, int]
    shortcuts: int | None = None
    parameters: int | None = None
    macs: int | None = None
    memory: Timeline | None = None
    policy: str | None = None


class Times(Record):
    """Milliseconds for a call with a whole batch; ``samples_ms`` has one figure for every round, in their order."""

    median_ms: float = Field(gt=0)
    p10_ms: float
    p90_ms: float
    images_per_second: float
    samples_ms: tuple[float, ...]


class Ratio(Record):
    """How many times as fast as the first: of the ratios within the rounds, the median and two percentiles.

    ``difference_shown`` is false where 1 lies between the percentiles.
    """

    median: float = Field(gt=0)
    p10: float
    p90: float
    difference_shown: bool


class PeakMemory(Record):
    """The peak for a whole batch, by definitions that do not agree; what is null has its reason in ``unknown``.

    ``forecast_bytes`` are live feature maps, ``arena_bytes`` what ExecuTorch's planner sets aside for them,
    ``resident_rise_bytes`` by how much the process grew, and ``device_peak_bytes`` what it held on a GPU.
    """

    forecast_bytes: int | None = None
    arena_bytes: int | None = None
    resident_rise_bytes: int | None = None
    device_peak_bytes: int | None = None
    unknown: dict[str, str] = Field(default_factory=dict)


class FileAccuracy(Record):
    """Of the file that was timed, on the test images named; ``top5`` is null below six classes."""

    top1: Share
    top5: Share | None = None
    images: int


class FileParity(Record):
    """How far an exported file is from its network, relative to the largest logit; on test images or random ones."""

    max_difference: float
    agreement: Share
    images: int
    real_images: bool


class Cell(Record):
    """One subject in one setting. Where it could not be measured, ``refused`` says why, and there are no figures."""

    subject: str
    file: str | None = None
    file_bytes: int | None = None
    sha256: str | None = None
    refused: str | None = None
    latency: Times | None = None
    ratio: Ratio | None = None
    memory: PeakMemory | None = None
    accuracy: FileAccuracy | None = None
    no_accuracy: str | None = None
    parity: FileParity | None = None


class Group(Record):
    """A setting, and all subjects in it: they were measured in the same rounds."""

    runtime: str
    threads: int
    batch_size: int
    device: str
    cells: tuple[Cell, ...]


class Load(Record):
    """How busy the machine was before anything began: processes that run or want to, averaged over a minute."""

    average: float | None
    cores: int
    warning: str | None


class Bench(Record):
    """The whole of the file. Ratios are to the first of ``subjects``."""

    unskip: str
    started: str
    seconds: float
    repeats: int
    processes: int
    load: Load
    subjects: tuple[Subject, ...] = Field(min_length=1)
    groups: tuple[Group, ...] = Field(min_length=1)
    notes: tuple[str, ...]
    environment: dict[str, str | int]

    @property
    def first(self) -> Subject:
        """What the others are compared with."""
        return self.subjects[0]
