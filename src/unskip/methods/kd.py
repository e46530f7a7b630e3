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

from unskip.losses import cross_entropy, kl_divergence
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase
from unskip.nets import StagedNet

__all__ = ["KD"]


class KD(Method):
    """Fields of knowledge distillation."""

    alpha: float = Field(0.9, ge=0, le=1, description="weight of the teacher's term; the labels' is 1 - alpha")
    temperature: float = Field(4.0, gt=0, description="divides both logits before the softmax")

    def phases(self, teacher: StagedNet | None, student: StagedNet, epochs: int) -> Sequence[Phase]:
        """One phase."""
        assert teacher is not None
        objective = _Logits(FrozenTeacher(teacher), student, self.alpha, self.temperature)
        return [Phase("kd", objective, student, epochs)]


class _Logits(Objective):
    def __init__(self, teacher: FrozenTeacher, student: StagedNet, alpha: float, temperature: float) -> None:
        super().__init__()
        self.teacher = teacher
        self.student = student
        self.alpha = alpha
        self.temperature = temperature

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        student = self.student(images)
        return {
            "ce": (1 - self.alpha) * cross_entropy(student, labels),
            "kl": self.alpha * kl_divergence(student, self.teacher(images), self.temperature),
        }
