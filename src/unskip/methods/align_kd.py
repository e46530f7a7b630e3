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
`ce` and `kd` lose. Student and teacher need stages of the same names, not the same depth or widths: a plain resnet18
learns from a resnet34 at the stages' ends. For a teacher that is trained already, see `fade_kd`.

``feature`` says how two maps are compared:

- ``mse``, the paper's. Where the numbers of channels differ, a connector, 1x1 convolution and BatchNorm, leads from the
  student's to the teacher's; it is trained too and dropped afterwards.
- ``attention_transfer`` (Zagoruyko and Komodakis, 2017): where the maps are active, whatever their channels.
- ``nst`` (Huang and Wang, 2017): how the channels are distributed, whatever their order and scale.

The larger of two maps is average-pooled to the smaller. eta's defaults are meant for ``mse``; the other two terms are
smaller by orders of magnitude, and RepDistiller, which has them in this form, weighs ``attention_transfer`` with 1000
and ``nst`` with 50.

Departures: eta moves with every step, not with every epoch, so that short trainings see the same curve. The paper names
attention transfer, neuron selectivity transfer and a deeper teacher as next steps and prints no results for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unskip.losses import attention_transfer, feature_mse, nst
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase, check_taps, half_cosine
from unskip.nets import StagedNet
from unskip.nets.connector import connectors, to_one_size
from unskip.tasks import Task

_DISTANCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": feature_mse,
    "attention_transfer": attention_transfer,
    "nst": nst,
}


class AlignKD(Method):
    """The method AlignKD, with its hyper-parameters as fields."""

    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher's logits; the labels' is 1 - alpha")
    temperature: float = Field(1.0, gt=0, description="divides both logits before the softmax")
    feature: Literal["mse", "attention_transfer", "nst"] = Field("mse", description="how two maps are compared")
    feature_weight: float = Field(1.0, ge=0, description="eta, the feature term's weight, at the start")
    final_feature_weight: float = Field(0.5, ge=0, description="eta after its decay")
    decay_share: float = Field(0.3, ge=0, le=1, description="share of the training during which eta falls")
    taps: tuple[str, ...] | None = Field(None, strict=False, description="stages to align; all by default")

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase."""
        objective = Alignment(self, teacher, student, task)
        trainable = nn.ModuleList([student, objective.connectors])
        return [Phase("align_kd", objective, trainable, epochs)]

    def continued(self) -> Method:
        """With eta at its end from the start."""
        return self.model_copy(update={"feature_weight": self.final_feature_weight})

    def feature_weight_at(self, progress: float) -> float:
        """Eta at a share of the training, 0 to 1."""
        return half_cosine(self.feature_weight, self.final_feature_weight, self.decay_share, progress)


class Alignment(Objective):
    """The answers' terms, and the distances of the tapped maps."""

    teacher: FrozenTeacher

    def __init__(self, method: AlignKD, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        super().__init__(student, task, teacher)
        self.method = method
        self.taps = check_taps(method.taps, teacher, student)
        self.connectors = connectors(student, teacher, self.taps) if method.feature == "mse" else nn.ModuleList()

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        """The task's terms and ``feature``; see `Objective.forward`."""
        teacher_maps, teacher_answers = self.teacher.features(images)
        student_maps, student_answers = self.student.features(images)
        distances = [self._distance(place, student_maps[tap], teacher_maps[tap]) for place, tap in enumerate(self.taps)]
        alpha, temperature = self.method.alpha, self.method.temperature
        return {
            **self.task.terms(student_answers, teacher_answers, labels, alpha=alpha, temperature=temperature),
            "feature": self.method.feature_weight_at(progress) * torch.stack(distances).sum(),
        }

    def _distance(self, place: int, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = to_one_size(student, teacher)
        if len(self.connectors):
            student = self.connectors[place](student)
        return _DISTANCES[self.method.feature](student, teacher)
