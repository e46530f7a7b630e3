"""Fitting (this project's own): a plain net takes over what its teacher answers with its shortcuts, and trains on.

The student is the teacher without its shortcuts. Before the first step every block is fitted, on ``images`` training
images and without a label, to answer what the teacher's block answers with its shortcut:

    activation(body'(x')) ~ activation(body(x) + shortcut(x)),      x' what the plain net has there, x the teacher's map

In all convolutions of body' but the last, a part of the channels hands the input on, by Dirac kernels, and the others
go on computing; the last is the solution of a ridge regression. `unskip.edits.fit_without_shortcuts` says how. Then the
plain net trains under AlignKD's loss. There is no shortcut at any step, so a step costs what `align_kd`'s does.

| symbol | here | default |
|---|---|---|
| images that are fitted | ``images`` | 256 |
| alpha, temperature of the KL | ``alpha``, ``temperature`` | as in `align_kd` |
| eta, its end, its decay | ``feature_weight``, ``final_feature_weight``, ``decay_share`` | as in `align_kd` |
| how maps are compared, and where | ``feature``, ``taps`` | as in `align_kd` |

When to use it: for a network that is trained already, above all a deep one that was trained for long. Such nets lean on
their shortcuts so much that cutting them, at once or slowly, leaves little. Before the first step EfficientNet-Lite0
keeps 87.4 ± 0.1 of 88.2 % on Imagewoof's breeds and a ResNet-20 for CIFAR-10 80.2 ± 0.3 of 87.8 %, where the cut leaves
10 (three draws of images).

A fitted start is a delicate one: steps at a rate for fresh networks undo it. Where a recipe trains by `fit_kd` alone
and names neither optimiser nor schedule, it is AdamW with a highest rate of 0.0003. The less the blocks miss, which the
run says first, the lower is the best rate: MobileNetV2's miss up to 20 %, and 0.0001 left it 0.9 points above 0.0003
(one seed).

Teacher and student must be of one architecture: for a student of another depth or width take `align_kd`. Blocks that
cannot be fitted (see the run's first lines) start with the teacher's weights, as when shortcuts are cut.

In your own training loop, `loss.prepare(images)` fits; without it the student starts as the teacher, cut.

Departures: none of the papers does this; the loss is `align_kd`'s. RMNet (Meng et al., 2021) carries maps by Dirac
kernels too, in further channels, and is exact; here no layer is wider. He, Zhang and Sun (2017) reconstruct pruned
layers by least squares in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field
from torch import Tensor

from unskip.errors import UnskipError
from unskip.methods._from_teacher import shortcuts_that_go
from unskip.methods.align_kd import AlignKD
from unskip.methods.base import Method, Phase
from unskip.nets import StagedNet
from unskip.surgery import fit_without_shortcuts, residual_blocks, without_shortcuts
from unskip.tasks import Task

_BATCH = 64


class FitKD(AlignKD):
    """Fitting, with its hyper-parameters as fields besides AlignKD's."""

    images: int = Field(256, ge=2, le=100_000, description="training images on which the blocks are fitted")

    def student_of(self, teacher: StagedNet, requested: StagedNet) -> StagedNet:
        """The teacher without the shortcuts that ``requested`` lacks, with its weights.

        Raises `UnskipError` where ``requested`` is not the teacher without some of its shortcuts.
        """
        cut = without_shortcuts(teacher, **shortcuts_that_go(teacher, requested, self.name))
        cut.spec = requested.spec  # its edits as they were written
        return cut.requires_grad_()

    def phases(self, teacher: StagedNet, student: StagedNet, epochs: int, task: Task) -> Sequence[Phase]:
        """AlignKD's one phase."""
        (phase,) = super().phases(teacher, student, epochs, task)
        return [Phase("fit_kd", phase.objective, phase.trainable, phase.epochs)]

    def prepare(self, teacher: StagedNet, student: StagedNet, images: Callable[[int], Tensor]) -> str:
        """Fit the student's blocks, in place, and say how well they stand in; see `Method.prepare`.

        Raises `UnskipError` where none can be fitted.
        """
        shown = images(self.images)[: self.images].to(next(student.parameters()).device)
        batches = shown.split(max(1, min(_BATCH, len(shown) // 2)))
        fitted = fit_without_shortcuts(teacher, batches, keep=list(residual_blocks(student)))
        if not fitted.unexplained:
            place, reason = next(iter(fitted.unfitted.items()))
            raise UnskipError(f"fit_kd can fit none of the blocks: {place}: {reason}; take fade_kd")
        student.load_state_dict(fitted.net.state_dict())
        errors = sorted(100 * error for error in fitted.unexplained.values())
        sentence = (
            f"{len(errors)} block{'s' * (len(errors) > 1)} fitted on {len(shown)} images; without their shortcuts they "
            f"miss {errors[0]:.1f} to {errors[-1]:.1f} % of the variance of what they answered"
        )
        if fitted.unfitted:
            place, reason = next(iter(fitted.unfitted.items()))
            sentence += f"; {len(fitted.unfitted)} could not be, {place} first: {reason}"
        return sentence

    def continued(self) -> Method:
        """AlignKD: the student is fitted."""
        return AlignKD(**{name: getattr(self, name) for name in AlignKD.model_fields}).continued()
