"""What a measure is, and what it is given to measure."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from unskip.errors import UnskipError
from unskip.records import About, Estimate, Figure

if TYPE_CHECKING:
    from unskip.dataflow import MemoryTimeline
    from unskip.export import Exported
    from unskip.nets import StagedNet
    from unskip.tasks import Score

ELEMENT_BYTES = {"float32": 4, "int8": 1}
"""Bytes of an element of a feature map or a weight."""

NO_NET = "the file does not say which network it holds"


@dataclass(frozen=True)
class Limit:
    """What a budget can say of a measure's figure: that it may not be above.

    ``name`` is that of the argument and of the option; ``parse`` reads its text and raises `UnskipError`, which names
    the argument it is given, for what cannot be. A ``relative`` limit is one of the part of the teacher's figure.
    """

    name: str
    help: str
    parse: Callable[[str, str], float]
    relative: bool = False


@dataclass(frozen=True)
class MeasuredNet:
    """A network by itself, for one image of ``input_shape`` (channels, height, width).

    ``net`` is None where a file does not say what it holds, and may be on the meta device. ``score`` is what its task
    says of it on the test images, None where nobody asks, or the sentence that says why there is none.
    """

    net: StagedNet | None
    input_shape: tuple[int, int, int]
    precision: str = "float32"
    score: Score | str | None = None

    @property
    def metric(self) -> str:
        """The measure that its task decides by, as far as its score tells."""
        return "top1" if self.score is None or isinstance(self.score, str) else self.score.metric

    @cached_property
    def timeline(self) -> MemoryTimeline | str:
        """Live feature maps, or why they are not known."""
        from unskip.dataflow import forecast

        if self.net is None:
            return NO_NET
        if self.precision not in ELEMENT_BYTES:
            return f"{self.precision} feature maps are not forecast"
        try:
            return forecast(self.net, self.input_shape, bytes_per_element=ELEMENT_BYTES[self.precision])
        except UnskipError as error:
            return str(error)


@dataclass
class Timing:
    """What the processes that ran a file tell: milliseconds by round, bytes by process, None where nobody knows.

    The bytes are those by which the highest resident memory rose while the file was loaded and run, and the most that
    was held on a device.
    """

    milliseconds: list[float] = field(default_factory=list)
    resident_rise_bytes: list[int | None] = field(default_factory=list)
    device_peak_bytes: list[int | None] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DeployedFile:
    """A deployed file, as a record calls it: the bytes that go where it runs, the SHA-256 of all that belongs to it.

    ``proof``, on test images or else on random ones, is None where it was not exported here; ``normalizes``: it takes
    images scaled to 0..1.
    """

    path: Path
    name: str
    num_bytes: int
    sha256: str
    proof: Exported | None = None
    on_test_images: bool = False
    normalizes: bool = False


@dataclass(frozen=True, kw_only=True)
class MeasuredFile(DeployedFile):
    """A network's file in a setting; ``timing`` is None where it was not run, ``score`` as in `MeasuredNet`.

    ``estimate`` is what a device's compiler says of it, None where the setting is this machine.
    """

    net: MeasuredNet
    batch_size: int
    device: str
    timing: Timing | None = None
    score: Score | str | None = None
    estimate: Estimate | None = None


class Measure(ABC):
    """Something that networks or files are compared by. Its file's name is its name everywhere.

    Its docstring is what must be known to read a figure. ``title`` and ``unit`` head its column, ``order`` is that
    column's place, ``kind`` says with which others it stands; see `About` for the units that tables know. ``limits``
    are what a budget can say of it. ``quick`` measures take no time worth mentioning; the others are left to
    `unskip bench`.
    """

    title: ClassVar[str]
    unit: ClassVar[str]
    better: ClassVar[Literal["lower", "higher"]] = "lower"
    kind: ClassVar[Literal["answers", "time", "memory", "size", "file"]]
    order: ClassVar[int]
    limits: ClassVar[tuple[Limit, ...]] = ()
    quick: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The file's name."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def about(self) -> About:
        """What a record says of it."""
        sentence = " ".join((inspect.getdoc(self) or "").split()).removesuffix(".")
        return About(
            title=self.title,
            unit=self.unit,
            better=self.better,
            kind=self.kind,
            definition=f"{self.title}: {sentence[:1].lower()}{sentence[1:]}",
        )

    def of_net(self, net: MeasuredNet) -> Figure | None:
        """The figure of a network by itself; None where it has none, since it is one of files or of other tasks."""
        return None

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """The figure of a file in a setting; None where it is that of its network, or there is none."""
        return None


class DeviceMeasure(Measure):
    """A measure of what a file costs on a device that is not here: its compiler says.

    A ``headline`` stands in the tables of a search even where nothing limits it.
    """

    headline: ClassVar[bool] = False

    @abstractmethod
    def of_estimate(self, estimate: Estimate) -> Figure | None:
        """The figure in what a compiler says; None where the device has none, or its compiler does not tell."""

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """None where no compiler was asked, too."""
        return None if file.estimate is None else self.of_estimate(file.estimate)
