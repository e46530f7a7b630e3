"""What a phase of a training minimises, and whom it learns from."""

from __future__ import annotations

import functools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unskip.nets import StagedNet
from unskip.surgery import fold_batchnorm
from unskip.tasks import Answers, Task


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


@contextmanager
def only_trainable(phase: Phase) -> Iterator[None]:
    """No gradients, meanwhile, for parameters of the objective that the phase does not train."""
    trained = {id(parameter) for parameter in phase.trainable.parameters()}
    frozen = [p for p in phase.objective.parameters() if p.requires_grad and id(p) not in trained]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
