"""JointRD (Li et al., Residual Distillation): the student's first stages borrow the teacher's later ones.

    L = CE(student) + eta [ sum_{k=1..n-1} CE(hybrid_k) + lambda sum_{k=1..n} d(F(hybrid_k), F(teacher)) ]

Hybrid k is the student's stages 1..k, then the teacher's stages k+1..n and its head; hybrid n is the student itself. F
is the last feature: the last stage's map, without the classifier. The gradient runs through the frozen teacher's stages
to the student, and so past the student's own later, shortcut-free ones. eta falls by half a cosine from 1 to 0.5 during
the first 60 of 200 epochs and stays there.

``distance: mse`` is d(S, T) = sum over channels, height and width of (S - T)^2, a mean over the batch.

``distance: margin`` is the distance of Heo et al., "A Comprehensive Overhaul of Feature Distillation" (2019), which
the authors' code uses, with features before the last activation:

    d(S, T) = sum of p(r(S), max(T, m)),  p(s, t) = 0 where s <= t <= 0, else (s - t)^2;  again a mean over the batch

r is a connector, one 1x1 convolution and BatchNorm for each hybrid, dropped after training. m < 0 is one number per
channel, E[x | x < 0] for x ~ N(beta, gamma^2) with beta and gamma of the BatchNorm in front of that activation. Where
the last block adds a projection, both BatchNorms count, as independent; what an identity shortcut adds is not counted.

| in the papers | here | default |
|---|---|---|
| eta at the start | ``hybrid_weight`` | 1.0 |
| eta at the end | ``final_hybrid_weight`` | 0.5 |
| 60 of 200 epochs | ``decay_share`` | 0.3 of the epochs, whatever their number |
| lambda | ``feature_weight`` | 0.001 |
| L_mse, or the margin distance | ``distance`` | mse |
| features after or before the last activation | ``tap`` | post_relu; margin needs pre_relu |

When to use it: where a plain net is too deep to train well on its own, and for a shallow one from its teacher's weights
(``student.init: teacher``): a ResNet-20 that was trained for long, 87.8 % on CIFAR-10, keeps 87.3 in four epochs, three
seeds, where fading keeps 87.0, or 87.4 under this loss (`fade_joint_rd`), and the cut under AlignKD's loss 85.0. Of a
ResNet-32 with 88.4 % it kept 77.8 in four epochs (one run), fading 85.5, and 87.3 under this loss. Every hybrid costs a
pass through the teacher's later stages, forward and back, which `align_kd` does without; it costs time, and no memory:
its gradient is computed as soon as the student has the map that it begins with, and what it kept is let go. Teacher and
student need maps of one shape at the end of every stage. Wide ResNets and MobileNetV2 end their stages without an
activation: there ``post_relu`` takes the map as it is. The authors' CIFAR student keeps its projections: the recipe's
``student.edits: [{without_shortcuts: {keep: [projection]}}]``; their ImageNet student has Dirac convolutions, the edit
``with_dirac_convs``.

Departures: AlignKD's equation 2 prints the teacher's classifier on both sides of d; its text and the authors' code
compare features, and so does this. The sum over a feature's elements is the authors' code's too; with a mean, lambda
would have next to no weight. eta moves with every step, not with every epoch. The margin is the expectation itself,
where the overhaul's code takes -3 |gamma| for channels that are hardly ever negative.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.losses import margin_distance, squared_distance
from unskip.methods._early_gradient import with_gradient
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase, half_cosine
from unskip.nets import Residual, StagedNet
from unskip.nets.activation import activation_in_head
from unskip.nets.connector import connector
from unskip.nets.shapes import stage_shapes
from unskip.tasks import Task


class JointRD(Method):
    """The method JointRD, with its hyper-parameters as fields."""

    needs_labels: ClassVar[bool] = True

    hybrid_weight: float = Field(1.0, ge=0, description="eta, the weight of hybrids and features, at the start")
    final_hybrid_weight: float = Field(0.5, ge=0, description="eta after its decay")
    decay_share: float = Field(0.3, ge=0, le=1, description="share of the training during which eta falls")
    feature_weight: float = Field(1e-3, ge=0, description="lambda, the weight of the features within eta's bracket")
    distance: Literal["mse", "margin"] = Field("mse", description="how last features are compared")
    tap: Literal["post_relu", "pre_relu"] = Field(
        "post_relu", description="compare them after or before the last stage's last activation"
    )

    @model_validator(mode="after")
    def _margin_reads_negative_values(self) -> JointRD:
        if self.distance == "margin" and self.tap != "pre_relu":
            raise ValueError("distance: margin compares features before the last activation; set tap: pre_relu too")
        return self

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase."""
        objective = JointTraining(self, teacher, student, task)
        trainable = nn.ModuleList([student, objective.connectors]) if len(objective.connectors) else student
        return [Phase("joint_rd", objective, trainable, epochs)]

    def continued(self) -> Method:
        """With eta at its end from the start."""
        return self.model_copy(update={"hybrid_weight": self.final_hybrid_weight})

    def hybrid_weight_at(self, progress: float) -> float:
        """Eta at a share of the training, 0 to 1."""
        return half_cosine(self.hybrid_weight, self.final_hybrid_weight, self.decay_share, progress)


class JointTraining(Objective):
    """The labels' term, the hybrids' and the features'."""

    margin: Tensor
    teacher: FrozenTeacher

    def __init__(self, method: JointRD, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        _check_stages(teacher, student, method.name)
        if method.tap == "pre_relu":
            teacher, student = activation_in_head(teacher), activation_in_head(student)
        super().__init__(student, task, teacher)
        self.method = method
        self.connectors = nn.ModuleList()
        if method.distance == "margin":
            margin = _margin(teacher)
            self.register_buffer("margin", margin, persistent=False)
            self.connectors.extend(connector(len(margin), len(margin)).to(margin) for _ in student.stage_names)

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        """The terms ``ce``, ``hybrid_ce`` and ``feature``; see `Objective.forward`."""
        with torch.no_grad():
            target = self.teacher.net[:-1](images)
        eta = self.method.hybrid_weight_at(progress)

        def of_feature(place: int, feature: Tensor) -> Tensor:
            return eta * self.method.feature_weight * self._distance(place, feature, target)

        def of_hybrid(place: int, student_map: Tensor) -> tuple[Tensor, Tensor]:
            feature, logits = self._hybrid(place, student_map)
            return eta * self.task.label_loss(logits, labels), of_feature(place, feature)

        # Each hybrid runs as soon as the student has its map, and is let go before the student's next stage.
        names = self.student.stage_names
        terms: list[Sequence[Tensor]] = []
        x = images
        for name, part in self.student.named_parts():
            x = part(x)
            if name in names[:-1]:
                place = names.index(name)
                connector = self.connectors[place].parameters() if self.connectors else ()
                terms.append(with_gradient(functools.partial(of_hybrid, place), x, list(connector)))
            elif name == names[-1]:
                last = of_feature(len(names) - 1, x)
        of_labels, of_features = zip(*terms, strict=True)
        return {
            "ce": self.task.label_loss(x, labels),
            "hybrid_ce": torch.stack(of_labels).sum(),
            "feature": torch.stack([*of_features, last]).sum(),
        }

    def _hybrid(self, place: int, student_map: Tensor) -> tuple[Tensor, Tensor]:
        """Last feature and logits of the hybrid that goes from the student's stage of that place to the teacher."""
        net = self.teacher.net
        *stages, head = net[net.part_names.index(net.stage_names[place + 1]) :]
        x = student_map
        for stage in stages:
            x = stage(x)
        return x, head(x)

    def _distance(self, place: int, feature: Tensor, target: Tensor) -> Tensor:
        if self.method.distance == "mse":
            return squared_distance(feature, target)
        return margin_distance(self.connectors[place](feature), target, self.margin)


def _check_stages(teacher: StagedNet, student: StagedNet, method: str) -> None:
    if teacher.stage_names != student.stage_names:
        raise UnskipError(
            f"{method} joins student and teacher stage by stage, but they have different stages: the teacher "
            f"{', '.join(teacher.stage_names)}, the student {', '.join(student.stage_names)}"
        )
    if len(teacher.stage_names) < 2:
        raise UnskipError(f"{method} needs two stages or more: with one there is no hybrid")
    shapes = [stage_shapes(net[:-1]) for net in (student, teacher)]
    for name, ours, theirs in zip(teacher.stage_names, *shapes, strict=True):
        if ours != theirs:
            raise UnskipError(
                f"{method} needs maps of one shape at the end of every stage, at {name} the student's is {ours} and "
                f"the teacher's {theirs}; choose a student of the teacher's widths and strides"
            )


def _margin(teacher: StagedNet) -> Tensor:
    """The margin of a teacher whose last stage ends before its activation: (channels, 1, 1)."""
    norms = _last_norms(teacher.get_submodule(teacher.stage_names[-1]))
    mean = torch.stack([norm.bias.detach().double() for norm in norms]).sum(0)
    variance = torch.stack([norm.weight.detach().double().square() for norm in norms]).sum(0)
    return _mean_of_negatives(mean, variance.sqrt())[:, None, None].to(norms[0].weight)


def _last_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """The BatchNorms whose outputs a module ends with or adds up."""
    if isinstance(module, Residual):
        shortcut = _last_norms(module.shortcut) if module.kind == "projection" else []
        return [*_last_norms(module.body), *shortcut]
    if isinstance(module, nn.Sequential) and len(module):
        return _last_norms(module[-1])
    if isinstance(module, nn.BatchNorm2d) and module.affine:
        return [module]
    raise UnskipError(
        "distance: margin reads the teacher's BatchNorm in front of its last activation, and there is "
        f"{type(module).__name__}; use distance: mse"
    )


def _mean_of_negatives(mean: Tensor, deviation: Tensor) -> Tensor:
    """E[x | x < 0] for x ~ N(mean, deviation^2): mean - deviation pdf(z) / cdf(-z) with z = mean / deviation."""
    deviation = deviation.clamp_min(1e-12)
    # erfcx keeps the ratio exact where density and probability both underflow.
    ratio = math.sqrt(2 / math.pi) / torch.special.erfcx(mean / deviation / math.sqrt(2))
    return (mean - deviation * ratio).clamp_max(0)
