"""Training on the labels alone: the baseline that every other method is compared with.

The loss is the task's: for classification the cross-entropy of the logits. Teachers are trained with it; as a student's
method it shows what removing the shortcuts costs. No teacher is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from unskip.methods.base import Method, Objective, Phase
from unskip.nets import StagedNet
from unskip.tasks import Task


class CE(Method):
    """Cross-entropy on the labels; no fields."""

    needs_teacher: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase."""
        return [Phase("ce", _Labels(student, task), student, epochs)]


class _Labels(Objective):
    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        return {"ce": self.task.label_loss(self.student(images), labels)}
