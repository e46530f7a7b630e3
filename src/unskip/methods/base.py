"""What a distillation method is."""

from __future__ import annotations

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets import StagedNet
from unskip.settings import Section
from unskip.surgery import fold_batchnorm, fold_dirac
from unskip.tasks import Answers, Task

__all__ = ["FrozenTeacher", "Method", "Objective", "Phase", "check_taps", "half_cosine", "split_epochs"]


class FrozenTeacher(nn.Module):
    """A copy of a teacher that only answers: in eval mode for ever, BatchNorm folded, its weights without gradients.

    ``requires_grad=False`` alone would let BatchNorm's statistics drift. It goes where its objective goes (`.to`,
    `.half`), and is in none of the objective's parameters, state dict or ``train()``.
    """

    net: StagedNet

    def __init__(self, teacher: StagedNet) -> None:
        super().__init__()
        # Each part by itself, so that the maps between them stay what they are.
        folded = [fold_batchnorm(teacher[place : place + 1]) for place in range(len(teacher))]
        self.__dict__["net"] = functools.reduce(operator.add, folded).requires_grad_(False).eval()  # no submodule

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenTeacher:
        self.net._apply(fn, recurse)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Answers:
        """What the teacher answers; the last map, where it is the front of a network."""
        return self.net(images)

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[list[Tensor], Answers]:
        """One map per stage, and the answers; see `StagedNet.features`."""
        return self.net.features(images)


class Objective(nn.Module, ABC):
    """One phase's loss as a module, so that data parallelism and compilation can wrap it whole.

    ``student`` is what is trained, ``teacher`` a frozen copy of what it learns from, where there is one.
    """

    student: StagedNet
    teacher: FrozenTeacher | None
    task: Task

    def __init__(self, student: StagedNet, task: Task, teacher: StagedNet | None = None) -> None:
        super().__init__()
        self.student = student
        self.task = task
        self.teacher = None if teacher is None else FrozenTeacher(teacher)

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        """Named, weighted terms, each a scalar; their sum is the loss.

        images: (batch, channels, height, width), labels: (batch,) int64, progress: share of the phase's steps done,
        0 to 1.
        """


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one objective.

    ``trainable`` holds what is trained, layers that are dropped afterwards included; whatever else the objective has
    stays as it is.
    """

    name: str
    objective: Objective
    trainable: nn.Module
    epochs: int


class Method(Section, ABC):
    """A distillation method.

    Its fields are its hyper-parameters with the paper's defaults, its file's name is its name, and its file's docstring
    is its card. ``needs_teacher`` and ``needs_labels`` say what it cannot do without.
    """

    needs_teacher: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The file's name."""
        return type(self).__module__.rpartition(".")[2]

    def student_of(self, teacher: StagedNet, requested: StagedNet) -> StagedNet:
        """The network to train, given the one that the recipe's student section asks for: just that, unless overridden.

        Raises `UnskipError` where the two do not fit the method.
        """
        return requested

    @abstractmethod
    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """The stretches of training, in order; their epochs add up to ``epochs``.

        ``teacher`` is the student itself where the method needs none and there is none. New layers may draw from
        PyTorch's generator, which the training seeds.
        """

    def deployables(self, student: StagedNet, images: Iterable[Tensor]) -> Mapping[str, StagedNet]:
        """What ships after training, by name: by default the student alone, its Dirac convolutions made ordinary.

        ``images`` are batches of training images (batch, channels, height, width) for methods that still look at some;
        they can be gone through again.
        """
        return {"student": fold_dirac(student)}


def half_cosine(start: float, end: float, share: float, progress: float) -> float:
    """A weight that goes from ``start`` to ``end`` by half a cosine in the first ``share`` of a training, then stays.

    share and progress: 0 to 1.
    """
    if progress >= share:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * progress / share)) / 2


def split_epochs(epochs: int, phases: Sequence[str]) -> list[int]:
    """As equal shares of the epochs as there are, the first phases getting what is left over.

    Raises `UnskipError` when there are fewer epochs than phases.
    """
    if epochs < len(phases):
        raise UnskipError(f"{len(phases)} phases ({', '.join(phases)}) need at least as many epochs, not {epochs}")
    share, rest = divmod(epochs, len(phases))
    return [share + (place < rest) for place in range(len(phases))]


def check_taps(taps: Sequence[str] | None, teacher: StagedNet, student: StagedNet) -> list[int]:
    """The places, among the stages, of the maps that a feature term reads; all of them for None.

    Raises `UnskipError` for a tap that is no stage of both networks.
    """
    if taps is None and teacher.stage_names != student.stage_names:
        raise UnskipError(
            f"teacher and student have different stages ({', '.join(teacher.stage_names)} against "
            f"{', '.join(student.stage_names)}); name the taps that both have"
        )
    for tap in taps or ():
        if tap not in teacher.stage_names or tap not in student.stage_names:
            both = [name for name in teacher.stage_names if name in student.stage_names]
            raise UnskipError(f"taps: {tap!r} is no stage of both networks; they share {', '.join(both)}")
    return [index for index, name in enumerate(teacher.stage_names) if taps is None or name in taps]
