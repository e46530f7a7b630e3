"""EKD-DDNN (Zhao et al.): one set of weights for several depths, the full-net teaching its sub-nets while all train.

    L = CE(full) + mean_k CE(sub_k) + w / (K+1) [KL_t + sum_k KL_s^k] + beta / (K+1) [MSE_t + sum_k MSE_s^k]
    KL_s^k = KL(p_full || p_sub_k),   KL_t = KL(p_ens || p_full),   p_ens = mean of the K+1 probabilities
    MSE_s^k = MSE(A_sub_k, A_full),   MSE_t = MSE(A_full, A_ens),   A_ens = mean of the K+1 maps A       (equations 1-7)

The student is the full-net; sub-net k is the first blocks of each of its stages (`StagedNet.at_depth`), with the same
weights and the same head. All K+1 run in every step, in train mode, and one backward pass goes through them all. A is
the sum of a stage's map over its channels, divided by its L2 norm over height and width; an MSE is a mean over height,
width and batch, and over the stages. The teaching side, p_full and p_ens, A_full and A_ens, gets no
gradient. No other teacher is used.

| in the paper | here | default |
|---|---|---|
| the blocks of the K sub-nets | ``depths`` | one sub-net with three fifths of each stage's blocks, at least one |
| w_k, not given | ``kl_weight`` | 1 |
| alpha_k (here beta), not given | ``attention_weight`` | 300 |
| KL_t and MSE_t (figure 3) | ``ensemble`` | true |
| BatchNorm, not mentioned | ``batch_norm`` | per_depth_statistics |

When to use it: to ship one training to devices of several sizes; each depth is saved, exported and measured as a
network of its own. ``student: {edits: []}`` keeps the shortcuts, as in the paper; a plain student works too. A step
costs what the K+1 networks cost. The paper's column "DDNN", hard labels only, is both weights at 0.

``batch_norm``: with ``shared`` statistics every depth uses and moves the same ones, which is what the paper's silence
suggests, and they end up fitting no depth. ``per_depth_statistics`` gives each depth its own. ``recalibrated`` trains
as ``shared`` does, and measures the statistics of every depth, the full-net's too, on 50 batches of training images
afterwards; the accuracies during the training are those before. The weights come out the same. On the digits (ResNet-20
of width 8, sub-net 2-2-2, 6 epochs of batches of 64, 3 seeds, 359 test images) full-net and sub-net reach 95.7 and
96.8 % with ``shared`` statistics, 97.8 and 98.6 % with either of the others.

Departures: the text normalises A in equation 4 only; without it everywhere the scales do not match. It speaks of
ensemble logits and writes probabilities; probabilities are taken. Maps that no ReLU has seen, as in pre-activation
nets, go through one before the sum; for others it changes nothing. What all depths begin with is computed for each.

The mean square of a normalised map is only 1 / (height x width): at a weight of 300 the gradient of the attention term
is about as long as that of the divergences (ResNet-20 of width 8 on CIFAR-10, first 200 steps of 64 images).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.losses import feature_mse, kl_divergence
from unskip.methods.base import Method, Objective, Phase
from unskip.methods.ce import CE
from unskip.nets import StagedNet
from unskip.nets.depth import DepthBatchNorm2d, block_names
from unskip.surgery import (
    fold_dirac,
    with_depth_statistics,
    with_recalibrated_statistics,
    without_depth_statistics,
)
from unskip.tasks import Task

_RECALIBRATION_BATCHES = 50

Depth = Annotated[tuple[NonNegativeInt, ...], Field(strict=False)]
Depths = Annotated[tuple[Depth, ...], Field(strict=False, min_length=1)]


class EmbeddedKD(Method):
    """The method EKD-DDNN, with its hyper-parameters as fields."""

    needs_teacher: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True

    depths: Depths | None = Field(
        None, description="the blocks of each stage, for every sub-net; by default one with three fifths of them"
    )
    kl_weight: float = Field(1.0, ge=0, description="w, the weight of the divergences")
    attention_weight: float = Field(300.0, ge=0, description="beta, the weight of the attention maps' distances")
    ensemble: bool = Field(True, description="the full-net learns from the mean of all depths")
    batch_norm: Literal["shared", "per_depth_statistics", "recalibrated"] = Field(
        "per_depth_statistics", description="whose BatchNorm statistics the sub-nets use"
    )

    def student_of(self, teacher: StagedNet, requested: StagedNet) -> StagedNet:
        """The full-net, with BatchNorm statistics for every depth where they are asked for."""
        depths = self.depths_of(requested)
        if self.batch_norm == "per_depth_statistics" and not _has_depth_statistics(requested):
            return with_depth_statistics(requested, depths=depths)
        return requested

    def depths_of(self, net: StagedNet) -> list[tuple[int, ...]]:
        """The sub-nets of a full-net. `UnskipError` for one that it does not have, is itself, or has twice."""
        full = _blocks_per_stage(net)
        depths = [tuple(max(min(1, n), round(0.6 * n)) for n in full)] if self.depths is None else list(self.depths)
        for place, depth in enumerate(depths):
            net.at_depth(*depth)  # raises for what cannot be
            if depth == full or depth in depths[:place]:
                which = "is the full-net itself" if depth == full else "stands there twice"
                raise UnskipError(f"depths: {_name(depth)} {which}; name sub-nets of {_name(full)} that differ")
        return depths

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase. The student is what :meth:`student_of` gave."""
        has_norms = any(type(module) is nn.BatchNorm2d for module in student.modules())
        if self.batch_norm == "per_depth_statistics" and has_norms and not _has_depth_statistics(student):
            raise UnskipError(
                "the network has no BatchNorm statistics of its depths; train what student_of makes of it"
            )
        return [Phase("embedded_kd", _AllDepths(self, student, task), student, epochs)]

    def continued(self) -> Method:
        """The labels alone: what ships is one depth, and its teacher was another of the same training."""
        return CE()

    def deployables(self, student: StagedNet, images: Iterable[Tensor]) -> Mapping[str, StagedNet]:
        """The full-net as ``full`` and every sub-net by its blocks (``3-3-3``), each a network of its own.

        ``images`` are gone through once for each of them where statistics are recalibrated.
        """
        nets = {"full": student, **{_name(depth): student.at_depth(*depth) for depth in self.depths_of(student)}}
        if self.batch_norm == "recalibrated":
            nets = {
                name: with_recalibrated_statistics(net, islice(images, _RECALIBRATION_BATCHES))
                for name, net in nets.items()
            }
        return {name: fold_dirac(without_depth_statistics(net)) for name, net in nets.items()}


class _AllDepths(Objective):
    def __init__(self, method: EmbeddedKD, student: StagedNet, task: Task) -> None:
        super().__init__(student, task)
        self.method = method
        # Views of the student: in a list they are no modules of this one, so that its state holds each weight once.
        self.sub_nets = [student.at_depth(*depth) for depth in method.depths_of(student)]

    def train(self, mode: bool = True) -> _AllDepths:
        super().train(mode)
        for net in self.sub_nets:
            net.train(mode)
        return self

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        maps, logits = zip(*(net.features(images) for net in (self.student, *self.sub_nets)), strict=True)
        full, *subs = logits
        kl = [kl_divergence(sub, full) for sub in subs]
        stages = [torch.stack([_attention(each) for each in of_stage]) for of_stage in zip(*maps, strict=True)]
        distances = [feature_mse(stage[1:], stage[:1].expand_as(stage[1:])) * len(subs) for stage in stages]
        if self.method.ensemble:
            kl.append(kl_divergence(full, _mean_probabilities(logits)))
            distances += [feature_mse(stage[0], stage.mean(dim=0)) for stage in stages]
        return {
            "ce": self.task.label_loss(full, labels),
            "sub_ce": torch.stack([self.task.label_loss(sub, labels) for sub in subs]).mean(),
            "kl": self.method.kl_weight / len(logits) * torch.stack(kl).sum(),
            "attention": self.method.attention_weight / len(logits) * torch.stack(distances).sum() / len(stages),
        }


def _attention(features: Tensor) -> Tensor:
    """The channel sum of a map, L2-normalised: (batch, channels, height, width) to (batch, height * width)."""
    return F.normalize(F.relu(features).sum(dim=1, dtype=torch.float32).flatten(1), dim=1)


def _mean_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of the softmaxes of some logits, each (batch, classes)."""
    return torch.stack([F.log_softmax(each.float(), dim=1) for each in logits]).logsumexp(dim=0) - math.log(len(logits))


def _has_depth_statistics(net: StagedNet) -> bool:
    return any(isinstance(module, DepthBatchNorm2d) for module in net.modules())


def _blocks_per_stage(net: StagedNet) -> tuple[int, ...]:
    return tuple(len(block_names(net.get_submodule(name))) for name in net.stage_names)


def _name(depth: Sequence[int]) -> str:
    return "-".join(map(str, depth))
