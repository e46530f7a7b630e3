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

When to use it: instead of `fade_kd`, for a network that is trained already where the last half point is worth steps
that take a third longer. A ResNet-20 that was trained for long, 87.8 % on CIFAR-10, keeps 87.4 in four epochs, three
seeds, where `fade_kd` keeps 87.0 and `joint_rd`, which cuts, 87.3. It needs labels, and a teacher of the same
architecture, of two stages or more. A ResNet-32 with 88.4 % kept 87.4 without its 15 shortcuts, in one run, where
`fit_kd` keeps 86.4; deeper nets were not tried: take `fit_kd` for them.

Departures: none of the papers does this; the loss is `joint_rd`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from unskip.methods._fading import Fading
from unskip.methods.base import Method, Phase
from unskip.methods.joint_rd import JointRD, JointTraining
from unskip.nets import StagedNet
from unskip.tasks import Task


class FadeJointRD(Fading, JointRD):
    """Fading under JointRD's loss, with its hyper-parameters as fields besides JointRD's."""

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
