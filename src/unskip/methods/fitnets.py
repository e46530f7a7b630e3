"""FitNets (Romero et al., 2015): a hint from the teacher's middle starts the student's first half, then `kd` trains it.

    phase 1:   L_HT = MSE(r(student_g), teacher_h),   r and the student's parts up to stage g train      (equation 3)
    phase 2:   L_KD = (1 - alpha) CE + alpha t^2 KL(softmax(teacher / t) || softmax(student / t))         (equation 2)

student_g and teacher_h are the maps at the end of the guided and of the hint stage. The regressor r is a 1x1
convolution with a bias from the student's to the teacher's channels; where height or width differ, the larger map is
average-pooled. r is dropped after the first phase. The teacher is frozen and in eval mode, in the first phase it and
the student run only as far as these stages.

| in the paper | here | default |
|---|---|---|
| hint layer h | ``hint``, a stage of the teacher | its middle stage |
| guided layer g | ``guided``, a stage of the student | its middle stage |
| epochs of the first phase | ``hint_share`` of the epochs | 0.3, at least one epoch |
| relaxation tau | ``temperature`` t | 3 |
| lambda | ``alpha`` | 0.3, which is lambda = 3.9 |

The paper's second loss is CE + lambda H(teacher, student) without the factor t^2, so up to a constant and the loss's
scale lambda = alpha t^2 / (1 - alpha). To compare with `kd` alone, give both the same ``alpha`` and ``temperature``.

When to use it: where student and teacher differ in width or depth, and `kd` does not get a deep student going; the two
need only the classes in common. Where the maps have one shape, `align_kd` and `stagewise_kd` use all of them.

Departures: the hint loss is a mean over all elements, not half a sum. The paper's regressor is a larger convolution
without padding that brings one size to the other, and ends in the hint layer's non-linearity; this one is linear.
lambda stays, where the paper lets it fall from 4 to 1. The first phase has a fixed length, where the paper ends it by
its loss on validation images.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.losses import feature_mse
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase
from unskip.methods.kd import KD
from unskip.nets import StagedNet
from unskip.nets.connector import to_one_size
from unskip.nets.layers import initialise
from unskip.nets.shapes import stage_shapes
from unskip.tasks import Task


class FitNets(Method):
    """The method FitNets, with its hyper-parameters as fields."""

    hint: str | None = Field(None, description="stage of the teacher that gives the hint; the middle one by default")
    guided: str | None = Field(None, description="stage of the student that is guided; the middle one by default")
    hint_share: float = Field(0.3, gt=0, lt=1, description="share of the epochs that the first phase gets")
    alpha: float = Field(0.3, ge=0, le=1, description="second phase: weight of the teacher; the labels' is 1 - alpha")
    temperature: float = Field(3.0, gt=0, description="second phase: divides both logits before the softmax")

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """The hint, then `kd`."""
        if epochs < 2:
            raise UnskipError(f"2 phases (hint, kd) need at least as many epochs, not {epochs}")
        hint_epochs = min(max(1, round(self.hint_share * epochs)), epochs - 1)
        hint = _up_to_stage("hint", self.hint, teacher, "teacher")
        guided = _up_to_stage("guided", self.guided, student, "student")
        objective = _Hint(hint, student, len(guided), task)
        trainable = nn.ModuleList([guided, objective.regressor])
        kd = KD(alpha=self.alpha, temperature=self.temperature)
        return [
            Phase("hint", objective, trainable, hint_epochs),
            *kd.phases(teacher, student, epochs - hint_epochs, task),
        ]

    def continued(self) -> Method:
        """The second phase."""
        return KD(alpha=self.alpha, temperature=self.temperature)


class _Hint(Objective):
    """The student's first ``num_guided`` parts against a teacher that is cut behind its hint stage."""

    teacher: FrozenTeacher

    def __init__(self, teacher: StagedNet, student: StagedNet, num_guided: int, task: Task) -> None:
        super().__init__(student, task, teacher)
        self.num_guided = num_guided
        self.regressor = _regressor(student[:num_guided], teacher)

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        # Pooled first: with a 1x1 convolution the order does not matter, and this one is cheaper.
        guided, hint = to_one_size(self.student[: self.num_guided](images), self.teacher(images))
        return {"feature": feature_mse(self.regressor(guided), hint)}


def _regressor(guided: StagedNet, hint: StagedNet) -> nn.Module:
    """From the guided map's channels to the hint's."""
    in_channels, out_channels = (stage_shapes(net)[-1][0] for net in (guided, hint))
    made = nn.Conv2d(in_channels, out_channels, kernel_size=1)
    initialise(made)
    return made.to(next(guided.parameters()).device)


def _up_to_stage(field: str, stage: str | None, net: StagedNet, role: str) -> StagedNet:
    """A network up to and with a stage, the middle one for None; `UnskipError` for one that it does not have."""
    names = net.stage_names
    if stage is None:
        stage = names[(len(names) - 1) // 2]
    if stage not in names:
        raise UnskipError(f"{field}: {stage!r} is no stage of the {role}; it has {', '.join(names)}")
    return net[: net.part_names.index(stage) + 1]
