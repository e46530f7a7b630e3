"""Training on the labels alone: the baseline that every other method is compared with.

The loss is the cross-entropy of the network's logits. Teachers are trained with it; as a student's method it shows what
removing the shortcuts costs. No teacher is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from unskip.losses import cross_entropy
from unskip.methods.base import Method, Objective, Phase
from unskip.nets import StagedNet

__all__ = ["CE"]


class CE(Method):
    """Cross-entropy on the labels; no fields."""

    needs_teacher: ClassVar[bool] = False

    def phases(self, teacher: StagedNet | None, student: StagedNet, epochs: int) -> Sequence[Phase]:
        """One phase."""
        return [Phase("ce", _Labels(student), student, epochs)]


class _Labels(Objective):
    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        return {"ce": cross_entropy(self.student(images), labels)}
