"""Fading under JointRD's loss (this project's own).

    block_b(x) = activation(body_b(x) + f_b shortcut_b(x)),      L = JointRD's loss

The student starts as the teacher, weights and all. The factor f_b of every shortcut that goes falls from 1 to 0 during
the first ``fade_share`` of the training, as in `fade_kd`; every hybrid of JointRD begins with the student as it is at
that step. What ships is plain, with the same outputs bit by bit.

| symbol | here | default |
|---|---|---|
| share of the training in which shortcuts fade | ``fade_share`` | 0.25 |
| which fade when | ``order`` | together |
| eta, its end, its decay | ``hybrid_weight``, ``final_hybrid_weight``, ``decay_share`` | as in `joint_rd` |
| lambda | ``feature_weight`` | as in `joint_rd` |
| how features are compared, and where | ``distance``, ``tap`` | as in `joint_rd` |

When to use it: for a network that is trained already, and loses ten to 16 shortcuts in 1,000 steps or more. Of a
ResNet-32 that was trained for long, 88.4 % on CIFAR-10 with 15 shortcuts, four epochs leave 87.3, three seeds, where
`fade_kd` leaves 85.5, and `fit_kd` 86.4 after two; in three, which take as long as those, 86.8 (one run). A ResNet-20
with 87.8 % and nine keeps 87.4, where `fade_kd` keeps 87.0 and `joint_rd`, which cuts, 87.3; a step takes a third
longer than one of `fade_kd` (of a ResNet-50, which has a stage more, 1.7 times as long), and in as much time it gains
nothing (one run). Of a ResNet-56's 89.4 % with 27 shortcuts four epochs leave 84.9 (one run), where `fit_kd` leaves 87:
take that for deeper nets, and for fewer steps. It needs labels, and a teacher of the same architecture, of two stages
or more.

Departures: none of the papers does this; the loss is `joint_rd`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from unskip.methods._fading import Fading
from unskip.methods.base import Method, Phase
from unskip.methods.joint_rd import JointRD, JointTraining
from unskip.nets import StagedNet
from unskip.tasks import Task


class FadeJointRD(Fading, JointRD):
    """Fading under JointRD's loss, with its hyper-parameters as fields besides JointRD's."""

    most_shortcuts: ClassVar[int] = 16

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase."""
        objective = _FadingJointTraining(self, teacher, student, task)
        return [Phase("fade_joint_rd", objective, nn.ModuleList([student, objective.connectors]), epochs)]

    def continued(self) -> Method:
        """JointRD: the shortcuts are gone."""
        return self.as_method(JointRD).continued()


class _FadingJointTraining(JointTraining):
    method: FadeJointRD

    def __init__(self, method: FadeJointRD, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        super().__init__(method, teacher, student, task)
        self.places = method.fading_of(student, self.student)

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        self.method.fade(self.places, progress)
        return super().forward(images, labels, progress)
