"""Fading (this project's own): the shortcuts of a trained network fade away while AlignKD's loss holds it in place.

    block_b(x) = activation(body_b(x) + f_b shortcut_b(x)),      L = AlignKD's loss

The student starts as the teacher, weights and all. The factor f_b of every shortcut that goes falls linearly from 1 to
0 during the first ``fade_share`` of the training; the rest of it trains the plain network. What ships has no trace of
the shortcuts, and the same outputs bit by bit. The recipe's student section says which shortcuts go; one that it keeps
does not fade.

| symbol | here | default |
|---|---|---|
| share of the training in which shortcuts fade | ``fade_share`` | 0.25 |
| which fade when | ``order`` | together |
| alpha, temperature of the KL | ``alpha``, ``temperature`` | as in `align_kd` |
| eta, its end, its decay | ``feature_weight``, ``final_feature_weight``, ``decay_share`` | as in `align_kd` |
| how maps are compared, and where | ``feature``, ``taps`` | as in `align_kd` |

``order: together`` lowers all factors at once; ``from_back`` and ``from_front`` divide the fading time into equal parts
and let one block fade in each, the last or the first of the network first. ``fade_share: 0`` cuts all shortcuts at
once, for comparison.

When to use it: for a network that is trained already, in a fraction of the epochs that training it took. Teacher and
student must be of one architecture: for a student of another depth or width take `align_kd`. The fewer the epochs and
the deeper the net, the more it gains over the cut: ResNet-32 on 15,000 images of CIFAR-10, teacher at 78.2 % after 16
epochs, three seeds: 71.8 against 53.4 % after one epoch, 77.0 against 76.2 % after four. After two epochs, with
teachers of eight, it gains 0.2 points at 20 layers, 0.85 at 32 and 6.7 at 56.

For more than nine shortcuts take `fade_joint_rd` or `fit_kd`, above all where the network was trained for long; for few
steps `fit_kd`: of 89.3 % four epochs of fading on 50,000 images leave a ResNet-56 81.1, two of `fit_kd` 87.2; of 88.4 %
they leave a ResNet-32 85.5, two of `fit_kd` 86.4, and four of `fade_joint_rd` 87.3. A ResNet-50 of width 16 keeps 57 of
94.7 % on the digits in 180 steps of fading, 95.5 in 1,080, and 93.3 when it is fitted by one pass and trained for 180.
A ResNet-20 with 87.8 % keeps 87.0 in four epochs of fading, more than fitted, and 87.4 in four of `fade_joint_rd`,
whose steps take a third longer.

A fading network keeps what it has learned, small gammas and scales included; stochastic depth leaves the blocks whose
shortcuts fade at once. Where a trained gamma or scale is at most 0.001, next to nothing passes its block without the
shortcut: the run names the first, and it has to grow while the shortcut fades. That may fail. Teachers of nine blocks
on the digits, 8 epochs, one seed: with scales that stayed 0, a teacher of 82.2 % fades to 88.9 %; with LayerScales that
stayed at 1e-6, one of 77.2 % to 30.9 %, and lifting the scales is worse, where a fresh student with `align_kd` reaches
88.0 %: take that then. With scales that were trained, one of 96.1 % fades to 94.2 %.

Departures: none of the papers does this; the loss is `align_kd`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from unskip.methods._fading import Fading
from unskip.methods.align_kd import AlignKD, Alignment
from unskip.methods.base import Method, Phase
from unskip.nets import StagedNet
from unskip.nets.fading import fading_blocks
from unskip.tasks import Task


class FadeKD(Fading, AlignKD):
    """Fading, with its hyper-parameters as fields besides AlignKD's."""

    most_shortcuts: ClassVar[int] = 9

    def remark(self, student: StagedNet) -> str:
        """That many shortcuts fade, where other methods keep more."""
        many = len(fading_blocks(student))
        if many <= self.most_shortcuts:
            return ""
        return (
            f"{many} shortcuts are many to fade: with more than {self.most_shortcuts}, fade_joint_rd keeps more than "
            "fade_kd of a network that was trained for long, and so does fit_kd with more than 16 or in few steps"
        )

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """One phase."""
        objective = _FadingAlignment(self, teacher, student, task)
        return [Phase("fade_kd", objective, nn.ModuleList([student, objective.connectors]), epochs)]

    def continued(self) -> Method:
        """AlignKD: the shortcuts are gone."""
        return self.as_method(AlignKD).continued()


class _FadingAlignment(Alignment):
    method: FadeKD

    def __init__(self, method: FadeKD, teacher: StagedNet, student: StagedNet, task: Task) -> None:
        super().__init__(method, teacher, student, task)
        self.places = method.fading_of(student, self.student)

    def forward(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        self.method.fade(self.places, progress)
        return super().forward(images, labels, progress)
