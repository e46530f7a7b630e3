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

It needs long phases. From 500 images of CIFAR-10 and a teacher that knows 87.8 % after 50,000, a ResNet-14 learns
62.5 % in five phases of 125 epochs, all at once 53.9 in as many; in five of 25 epochs 21.1, all at once 42.6 (three
seeds).

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
from unskip.losses import feature_mse
from unskip.methods.base import FrozenTeacher, Method, Objective, Phase, split_epochs
from unskip.nets import StagedNet
from unskip.nets.shapes import part_shapes
from unskip.tasks import Answers, Task


class StagewiseKD(Method):
    """The method Stagewise KD, with its hyper-parameters as fields."""

    order: Literal["stagewise", "simultaneous"] = Field(
        "stagewise", description="one part after the other, or all at once"
    )
    drift: bool = Field(False, description="let BatchNorm statistics of finished parts go on moving")

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase for each part, named after it, or a single one."""
        _check_maps(teacher, student)
        if self.order == "simultaneous":
            return [Phase("simultaneous", _AllParts(teacher, student, task), student, epochs)]
        shares = split_epochs(epochs, student.part_names)
        return [
            Phase(name, _OnePart(self, teacher, student, place, task), student[place], shares[place])
            for place, name in enumerate(student.part_names)
        ]

    def continued(self) -> Method:
        """All parts at once: what is finished in front of a part would change under it."""
        return self.model_copy(update={"order": "simultaneous"})


class _OnePart(Objective):
    """What one part gives, behind the finished ones, against the teacher's map; the head's answers as `_answer_terms`.

    ``is_head``: whether it is the last part.
    """

    def __init__(self, method: StagewiseKD, teacher: StagedNet, student: StagedNet, place: int, task: Task) -> None:
        is_head = place == len(student) - 1
        super().__init__(student, task, None if is_head and task.has_labels else teacher[: place + 1])
        self.is_head = is_head
        self.place = place
        self.drift = method.drift

    def train(self, mode: bool = True) -> _OnePart:
        super().train(mode)
        if not self.drift:
            self.student[: self.place].eval()
        return self

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        with torch.no_grad():
            x = self.student[: self.place](images)
        output = self.student[self.place](x)
        target: Answers = None if self.teacher is None else self.teacher(images)
        if self.is_head:
            return _answer_terms(self.task, output, target, labels)
        return {"feature": feature_mse(output, target)}


class _AllParts(Objective):
    teacher: FrozenTeacher

    def __init__(self, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        super().__init__(student, task, teacher[:-1] if task.has_labels else teacher)

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        with torch.no_grad():
            targets = list(self.teacher.net.outputs(images).values())
        *maps, answers = self.student.outputs(images).values()
        distances = [feature_mse(student, teacher) for student, teacher in zip(maps, targets, strict=False)]
        count = len(distances) + 1
        terms = _answer_terms(self.task, answers, targets[-1], labels)
        return {
            **{name: term / count for name, term in terms.items()},
            "feature": torch.stack(distances).sum() / count,
        }


def _answer_terms(task: Task, answers: Answers, targets: Answers, labels: Tensor) -> dict[str, Tensor]:
    """The loss of the labels or, for a task that has none, of the teacher's answers ``targets``."""
    if task.has_labels:
        return {"ce": task.label_loss(answers, labels)}
    return task.terms(answers, targets, labels, alpha=1.0, temperature=1.0)


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
