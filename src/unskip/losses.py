"""Loss terms as pure functions, each a scalar in float32."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["cross_entropy", "feature_mse", "kl_divergence"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of -log softmax(logits)[label]. logits: (batch, classes); labels: (batch,) int64."""
    return F.cross_entropy(logits.float(), labels)


def kl_divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """``t^2 KL(teacher || student)`` of the softmaxes of both logits over t, mean over the batch.

    logits: (batch, classes). The factor t^2 keeps the gradient's size independent of the temperature (Hinton et al.,
    2015, section 2). No gradient reaches the teacher.
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.detach().float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of the squared differences over all elements of two maps (batch, channels, height, width).

    AlignKD, equation 4. No gradient reaches the teacher.
    """
    return F.mse_loss(student.float(), teacher.detach().float())
