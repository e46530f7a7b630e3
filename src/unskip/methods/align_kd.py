"""AlignKD (Kao and Lai): the student is aligned with the teacher stage by stage.

    L = alpha KL(teacher || student) + (1 - alpha) CE + eta sum_k MSE(student_k, teacher_k)      (equation 7)

student_k and teacher_k are the maps after stage k's last activation (equation 4), the MSE is a mean over all
elements, KL a mean over the batch (equation 5), CE equation 6. eta falls by half a cosine from 1 to 0.5 during the
first 60 of 200 epochs and stays there. The teacher runs once per step, frozen and in eval mode.

| in the paper | here | default |
|---|---|---|
| alpha | ``alpha`` | 0.5 |
| eta at the start | ``feature_weight`` | 1.0 |
| eta at the end | ``final_feature_weight`` | 0.5 |
| 60 of 200 epochs | ``decay_share`` | 0.3 of the epochs, whatever their number |
| temperature of the KL | ``temperature`` | 1 |
| stages 1..n | ``taps`` | all |

When to use it: to remove the shortcuts of a network that is trained from scratch anyway; on deep nets it recovers what
`ce` and `kd` lose. Teacher and student need maps of one shape at the tapped stages.

Departures: eta moves with every step, not with every epoch, so that short trainings see the same curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from unskip.errors import UnskipError
from unskip.losses import cross_entropy, feature_mse, kl_divergence
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase, check_taps
from unskip.nets import StagedNet

__all__ = ["AlignKD"]


class AlignKD(Method):
    """Fields of AlignKD."""

    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher's logits; the labels' is 1 - alpha")
    temperature: float = Field(1.0, gt=0, description="divides both logits before the softmax")
    feature_weight: float = Field(1.0, ge=0, description="eta, the feature term's weight, at the start")
    final_feature_weight: float = Field(0.5, ge=0, description="eta after its decay")
    decay_share: float = Field(0.3, ge=0, le=1, description="share of the training during which eta falls")
    taps: tuple[str, ...] | None = Field(None, strict=False, description="stages to align; all by default")

    def phases(self, teacher: StagedNet | None, student: StagedNet, epochs: int) -> Sequence[Phase]:
        """One phase."""
        assert teacher is not None
        return [Phase("align_kd", _Alignment(self, teacher, student), student, epochs)]

    def feature_weight_at(self, progress: float) -> float:
        """Eta at a share of the training, 0 to 1."""
        if progress >= self.decay_share:
            return self.final_feature_weight
        fall = (1 + math.cos(math.pi * progress / self.decay_share)) / 2
        return self.final_feature_weight + (self.feature_weight - self.final_feature_weight) * fall


class _Alignment(Objective):
    def __init__(self, method: AlignKD, teacher: StagedNet, student: StagedNet) -> None:
        super().__init__()
        self.method = method
        self.taps = check_taps(method.taps, teacher, student)
        self.teacher = FrozenTeacher(teacher)
        self.student = student

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        teacher_maps, teacher_logits = self.teacher.features(images)
        student_maps, student_logits = self.student.features(images)
        mse = torch.stack([self._distance(student_maps[tap], teacher_maps[tap]) for tap in self.taps]).sum()
        alpha = self.method.alpha
        return {
            "ce": (1 - alpha) * cross_entropy(student_logits, labels),
            "kl": alpha * kl_divergence(student_logits, teacher_logits, self.method.temperature),
            "feature": self.method.feature_weight_at(progress) * mse,
        }

    @staticmethod
    def _distance(student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape != teacher.shape:
            raise UnskipError(
                f"align_kd needs maps of one shape, the student's is {tuple(student.shape[1:])} and the teacher's "
                f"{tuple(teacher.shape[1:])}; choose other taps or a student of the teacher's widths"
            )
        return feature_mse(student, teacher)
