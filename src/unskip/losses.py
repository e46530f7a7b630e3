"""Loss terms as pure functions, each a scalar in float32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -log softmax(logits)[label]. logits: (batch, classes); labels: (batch,) int64.

    Labels may be shares of the classes instead, (batch, classes), as mixed images have them: then it is
    -sum_c share_c log softmax(logits)_c. ``smoothing`` is the part of a label that goes to all classes alike (Szegedy
    et al., 2016, section 7).
    """
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


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
    return _sum_of_squares(student, teacher) / student.numel()


def squared_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum over channels, height and width of the squared differences, mean over the batch.

    Maps (batch, channels, height, width). No gradient reaches the teacher.
    """
    return _sum_of_squares(student, teacher) / student.shape[0]


def relative_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """``sum (student - teacher)^2 / sum teacher^2`` over all elements of two tensors of one shape.

    The same for answers of any scale; 1 for a student that answers zeros, and the numerator for a teacher that does.
    No gradient reaches the teacher.
    """
    size = torch.linalg.vector_norm(teacher.detach(), dtype=torch.promote_types(teacher.dtype, torch.float32)).square()
    return _sum_of_squares(student, teacher) / torch.where(size > 0, size, 1)


class _SumOfSquares(torch.autograd.Function):
    """Of a difference, in float32. The difference itself keeps its precision, and is all that is kept.

    Converting wide maps to float32 first costs more than the rest of a feature loss: with bf16 maps of 64 x 64 x 32 x
    32 on one CPU thread, forward and backward take a ninth of what ``F.mse_loss`` of converted maps takes.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        difference = student - teacher
        ctx.save_for_backward(difference)
        ctx.dtype = student.dtype
        precision = torch.promote_types(difference.dtype, torch.float32)
        return torch.linalg.vector_norm(difference, dtype=precision).square()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return (difference * (2 * gradients[0]).to(difference.dtype)).to(ctx.dtype), None


def _sum_of_squares(student: Tensor, teacher: Tensor) -> Tensor:
    if student.shape != teacher.shape:
        raise ValueError(f"maps of one shape are compared, not {tuple(student.shape)} and {tuple(teacher.shape)}")
    result: Tensor = _SumOfSquares.apply(student, teacher.detach())
    return result


def margin_distance(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """`squared_distance` to ``max(teacher, margin)``, without the elements at which student <= max(..) <= 0.

    Maps before a ReLU (batch, channels, height, width), margin: negative, (channels, 1, 1). The margin ReLU and the
    partial L2 distance of Heo et al., "A Comprehensive Overhaul of Feature Distillation" (2019), section 3: where the
    ReLU cuts off both, the student need not be as high as the teacher. No gradient reaches the teacher or the margin.
    """
    student, target = student.float(), teacher.detach().float().maximum(margin.detach().float())
    counts = (student > target) | (target > 0)
    return ((student - target).square() * counts).sum() / student.shape[0]


def attention_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over images and positions of ``(a_student - a_teacher)^2``, a being the attention of a map.

    Maps: (batch, channels, height, width), the channels of the two may differ in number. ``a = q / ||q||_2`` for each
    image, where q, one number for each position, is the mean over channels of the squares (Zagoruyko and Komodakis,
    "Paying More Attention to Attention", 2017, section 3.1). The paper's equation 2 has the norm ``||a - a'||_2`` for
    each image; the authors' code, and RepDistiller after it, the mean of the squares that is here. No gradient reaches
    the teacher.
    """
    return F.mse_loss(_attention(student), _attention(teacher.detach()))


def _attention(maps: Tensor) -> Tensor:
    """(batch, channels, height, width) to (batch, height * width), each row of length 1."""
    return F.normalize(maps.float().square().mean(1).flatten(1), dim=1)


def nst(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two maps' channels under the kernel ``(x^T y)^2``, mean over the batch.

    Maps: (batch, channels, height, width), the channels of the two may differ in number. A channel is the vector of its
    positions, divided by its L2 norm; with s_i of C_s student channels and t_j of C_t teacher channels

        MMD^2 = sum_ij (s_i^T s_j)^2 / C_s^2 + sum_ij (t_i^T t_j)^2 / C_t^2 - 2 sum_ij (s_i^T t_j)^2 / (C_s C_t)

    (Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, section 4, the
    polynomial kernel with d = 2 and c = 0). No gradient reaches the teacher.
    """
    with torch.autocast(student.device.type, enabled=False):  # it would multiply the matrices in low precision
        s, t = _unit_channels(student), _unit_channels(teacher.detach())
        if s.shape[2] < max(s.shape[1], t.shape[1]):
            # ||S^T S / C_s - T^T T / C_t||^2 is the same number, from matrices of positions by positions.
            difference = s.mT @ s / s.shape[1] - t.mT @ t / t.shape[1]
            return difference.square().sum((1, 2)).mean()
        return _mean_kernel(s, s) + _mean_kernel(t, t) - 2 * _mean_kernel(s, t)


def _unit_channels(maps: Tensor) -> Tensor:
    """(batch, channels, height, width) to (batch, channels, height * width), each channel of length 1."""
    return F.normalize(maps.float().flatten(2), dim=2)


def _mean_kernel(one: Tensor, other: Tensor) -> Tensor:
    return (one @ other.mT).square().mean()
