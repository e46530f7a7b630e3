"""What a task is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from unskip.chance import is_at_chance
from unskip.errors import UnskipError

Answers = Any  # a tensor, or a dict, list or tuple of such: whatever structure of tensors a network returns
Predict = Callable[[Tensor], Answers]  # a network, or a deployed file


@dataclass(frozen=True)
class Score:
    """How well something answers, over a number of images.

    ``figures`` are shares from 0 to 1 by the names of their measures; ``metric`` names the one that decides. ``chance``
    is what an answer without a look at the image gives, None where nobody can tell.
    """

    metric: str
    figures: Mapping[str, float]
    images: int
    chance: float | None = None

    @property
    def value(self) -> float:
        """The figure that decides; the higher, the better."""
        return self.figures[self.metric]

    @property
    def at_chance(self) -> bool:
        """Whether `value` is no better than guessing; see `unskip.chance`."""
        return self.chance is not None and is_at_chance(self.value, self.chance, self.images)


class Task(ABC):
    """What a network answers, what that is compared with, and the metric: all that the rest of the house asks.

    The loop, the proof of an exported file, the records and the reports know no other way to judge an answer.
    ``metric`` names the measure that decides, ``has_labels`` says whether images come with right answers.
    """

    metric: ClassVar[str]
    has_labels: ClassVar[bool]

    @property
    def name(self) -> str:
        """The file's name."""
        return type(self).__module__.rpartition(".")[2]

    def with_teacher(self, teacher: nn.Module) -> Self:
        """The task of a run with this teacher; the task itself where answers are not compared with a teacher's."""
        return self

    def scaled(self, mean: Sequence[float], std: Sequence[float]) -> Self:
        """The task on images scaled to 0..1 that would be normalised by these: for what normalises them itself."""
        return self

    def smoothed(self, smoothing: float) -> Self:
        """The task with labels of which a part goes to all classes alike; `UnskipError` for one without labels."""
        if smoothing:
            raise UnskipError(f"the task {self.name} has no labels to smooth; set `training.label_smoothing` to 0")
        return self

    def mixed_labels(self, labels: Tensor, partners: Tensor, share: float, answers: Answers) -> Tensor:
        """The labels of images that are a ``share`` of one image and for the rest another; as they are without labels.

        labels, others: (batch,); ``answers``: of the network that is trained, to one image.
        """
        return labels

    def check_unlabelled(self) -> None:
        """Raise `UnskipError` where images without labels are none to learn this task from."""
        if self.has_labels:
            raise UnskipError(
                f"the task {self.name} learns from labels, and the images come without; give labels, or the task "
                "`Matching()`"
            )

    @abstractmethod
    def label_loss(self, answers: Answers, labels: Tensor) -> Tensor:
        """The loss against the right answers, a scalar; `UnskipError` for a task without labels.

        Labels are as the images' or as :meth:`mixed_labels` gives them.
        """

    @abstractmethod
    def terms(
        self, student: Answers, teacher: Answers, labels: Tensor, *, alpha: float, temperature: float
    ) -> dict[str, Tensor]:
        """The loss of a student's last answers, as named, weighted terms.

        ``alpha`` is the weight of the teacher's answers; the rest is for the labels, where there are any. No gradient
        reaches the teacher.
        """

    @abstractmethod
    def check(self, answers: Answers) -> None:
        """Raise `UnskipError`, saying what was expected, for answers that are none of this task."""

    @abstractmethod
    def evaluate(self, predict: Predict, batches: Iterable[tuple[Tensor, Tensor]]) -> Score:
        """How well something answers batches of images (B, C, H, W) with labels (B,), which are 0 without labels.

        Raises `UnskipError` when there are no images, and for answers that are none of this task.
        """

    @abstractmethod
    def agreement(self, answers: Answers, expected: Answers) -> float:
        """How far answers to a batch agree with expected ones, 0 to 1: the figure beside a file's largest deviation."""
