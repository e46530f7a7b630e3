"""Knowledge distillation from logits (Hinton et al., 2015) as a substitute for shortcuts (Jha et al., Demystification).

    L = alpha t^2 KL(softmax(teacher / t) || softmax(student / t)) + (1 - alpha) CE(student, labels)

KL is a mean over the batch; the teacher is frozen and in eval mode.

| in the paper | here | default |
|---|---|---|
| temperature t | ``temperature`` | 4 |
| alpha | ``alpha`` | 0.9 |

Defaults: Demystification, section 5. When to use it: as the baseline of every feature method, and where student and
teacher have nothing but their classes in common. On deep plain nets it recovers less than `align_kd`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from unskip.methods.base import FrozenTeacher, Method, Objective, Phase
from unskip.nets import StagedNet
from unskip.tasks import Task


class KD(Method):
    """Knowledge distillation from logits, with its hyper-parameters as fields."""

    alpha: float = Field(0.9, ge=0, le=1, description="weight of the teacher's term; the labels' is 1 - alpha")
    temperature: float = Field(4.0, gt=0, description="divides both logits before the softmax")

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase."""
        objective = _Answers(self, teacher, student, task)
        return [Phase("kd", objective, student, epochs)]


class _Answers(Objective):
    teacher: FrozenTeacher

    def __init__(self, method: KD, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        super().__init__(student, task, teacher)
        self.method = method

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        alpha, temperature = self.method.alpha, self.method.temperature
        return self.task.terms(self.student(images), self.teacher(images), labels, alpha=alpha, temperature=temperature)
