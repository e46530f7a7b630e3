"""Stagewise KD (Kulkarni, Panchi and Chiddarwar): a shallower student learns the teacher's maps one part at a time.

    phases 1..n:   L_k = MSE(student_k, teacher_k),   only part k of the student trains      (section 3.4)
    phase n + 1:   L = CE(student),                   only the head trains, without the teacher

student_k and teacher_k are the maps at the end of part k: the stem, after its ReLU and before the pool, which opens
stage 1, then every stage. The MSE is a mean over all elements. What is finished stays as it is: in each phase the parts
in front run in eval mode and without gradients, those behind do not run, and the teacher runs as far as the map.

``order: simultaneous`` is the paper's baseline, all of it at once in one phase:

    L = (CE + sum_{k=1..n} MSE(student_k, teacher_k)) / (n + 1)

| in the paper | here | default |
|---|---|---|
| stagewise or simultaneous training | ``order`` | stagewise |
| BatchNorm of finished parts (not mentioned; it moves in the authors' code) | ``drift`` | false: it stays |
| 100 epochs a phase | an equal share of ``training.epochs`` | 600 epochs with a stem and four stages |
| Adam 1e-4, a fresh one in each phase | ``training.optimizer`` | the recipe's |
| batches of 64 (authors' code) | ``training.batch_size`` | the recipe's |
| a quarter of the data | ``data.fraction`` | the recipe's; class-balanced |

When to use it: for a shallower student of the teacher's widths that keeps its shortcuts, above all with few images: as
teacher ``resnet34-stagewise``, as student ``{net: resnet10-stagewise, edits: []}``. A plain student works too, and any
pair of networks with the same parts and maps of one shape at their ends. The accuracies before the last phase are those
of a head that has learnt nothing yet.

Baselines: without a teacher `ce`, all at once ``order: simultaneous``. Every method of a recipe trains for the same
number of epochs, so these are matched; the paper gave its baselines 100 epochs, a sixth of what stagewise training got.

Departures: each phase ends with its last epoch, where the authors' code goes back to the best one on the validation
images (by loss, for the head by accuracy). With ``drift`` the statistics in front of the phase's part move; in the
authors' code those behind it do too, and their parts are trained later anyway. For the baseline the paper speaks of the
sum of the losses; their mean has the same direction, and to Adam it is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unskip.errors import UnskipError
from unskip.losses import cross_entropy, feature_mse
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase, split_epochs
from unskip.nets import StagedNet
from unskip.nets.shapes import part_shapes

__all__ = ["StagewiseKD"]


class StagewiseKD(Method):
    """Fields of Stagewise KD."""

    order: Literal["stagewise", "simultaneous"] = Field(
        "stagewise", description="one part after the other, or all at once"
    )
    drift: bool = Field(False, description="let BatchNorm statistics of finished parts go on moving")

    def phases(self, teacher: StagedNet | None, student: StagedNet, epochs: int) -> Sequence[Phase]:
        """One phase for each part, named after it, or a single one."""
        assert teacher is not None
        _check_maps(teacher, student)
        if self.order == "simultaneous":
            return [Phase("simultaneous", _AllParts(teacher, student), student, epochs)]
        shares = split_epochs(epochs, student.part_names)
        return [
            Phase(name, _OnePart(teacher, student, place, drift=self.drift), student[place], shares[place])
            for place, name in enumerate(student.part_names)
        ]


class _OnePart(Objective):
    """What one part gives, behind the finished ones, against the teacher's map, or, for the head, against the labels.

    The whole student is in its state, so that a checkpoint of any phase has all parts.
    """

    def __init__(self, teacher: StagedNet, student: StagedNet, place: int, *, drift: bool) -> None:
        super().__init__()
        is_head = place == len(student) - 1
        self.teacher = None if is_head else FrozenTeacher(teacher[: place + 1])
        self.student = student
        self.place = place
        self.drift = drift

    def train(self, mode: bool = True) -> _OnePart:
        super().train(mode)
        if not self.drift:
            self.student[: self.place].eval()
        return self

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        with torch.no_grad():
            x = self.student[: self.place](images)
        output = self.student[self.place](x)
        if self.teacher is None:
            return {"ce": cross_entropy(output, labels)}
        return {"feature": feature_mse(output, self.teacher(images))}


class _AllParts(Objective):
    def __init__(self, teacher: StagedNet, student: StagedNet) -> None:
        super().__init__()
        self.teacher = FrozenTeacher(teacher[:-1])
        self.student = student

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        with torch.no_grad():
            teacher_maps = self.teacher.net.outputs(images).values()
        *student_maps, logits = self.student.outputs(images).values()
        distances = [feature_mse(student, teacher) for student, teacher in zip(student_maps, teacher_maps, strict=True)]
        terms = len(distances) + 1
        return {"ce": cross_entropy(logits, labels) / terms, "feature": torch.stack(distances).sum() / terms}


def _check_maps(teacher: StagedNet, student: StagedNet) -> None:
    """Raise `UnskipError`, before any phase, where a part's maps have two shapes."""
    if teacher.part_names != student.part_names:
        raise UnskipError(
            f"stagewise_kd trains part by part, but teacher and student have different parts: the teacher "
            f"{', '.join(teacher.part_names)}, the student {', '.join(student.part_names)}"
        )
    shapes = [part_shapes(net[:-1]) for net in (student, teacher)]
    for name in student.part_names[:-1]:
        ours, theirs = (of_net[name] for of_net in shapes)
        if ours != theirs:
            raise UnskipError(
                f"stagewise_kd needs maps of one shape at the end of every part, for one image the student's {name} "
                f"gives {ours} and the teacher's {theirs}; choose a student of the teacher's widths and strides"
            )
