"""JointRD's loss while the shortcuts fade: tried in docs/results/fading.md, as a method of one's own.

With a copy of this file in the working directory:

    unskip run --method fade_joint:FadeJoint --allow-module fade_joint ..

The student begins as the teacher with its weights; its shortcuts fade over ``fade_share`` of the training, as in
`fade_kd`, and every hybrid of `joint_rd` begins with the student as it is at that step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field
from torch import Tensor, nn

from unskip.methods._from_teacher import shortcuts_that_go
from unskip.methods.base import Phase
from unskip.methods.joint_rd import JointRD, _JointTraining
from unskip.nets import StagedNet
from unskip.nets.fading import fading_blocks
from unskip.surgery import with_fading_shortcuts, without_faded_shortcuts
from unskip.tasks import Task


class FadeJoint(JointRD):
    """JointRD while shortcuts fade."""

    fade_share: float = Field(0.25, ge=0, le=0.9, description="share of the training after which shortcuts are gone")

    def student_of(self, teacher: StagedNet, requested: StagedNet) -> StagedNet:
        """The teacher, with shortcuts that can fade where ``requested`` has none."""
        if fading_blocks(requested):
            return requested
        return with_fading_shortcuts(teacher, **shortcuts_that_go(teacher, requested, "fade_joint")).requires_grad_()

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """JointRD's one phase."""
        objective = _FadeJointTraining(self, teacher, student, task)
        return [Phase("fade_joint", objective, nn.ModuleList([student, objective.connectors]), epochs)]

    def deployables(self, student: StagedNet, images: Iterable[Tensor]) -> Mapping[str, StagedNet]:
        """The student without what has faded."""
        return super().deployables(without_faded_shortcuts(student), images)


class _FadeJointTraining(_JointTraining):
    def __init__(self, method: FadeJoint, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        super().__init__(method, teacher, student, task)
        self._share = method.fade_share
        self._fading = tuple(fading_blocks(student).values())

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        factor = 0.0 if progress >= self._share else 1 - progress / self._share
        for block in self._fading:
            block.fade_to(factor)
        return super().forward(images, labels, progress)
