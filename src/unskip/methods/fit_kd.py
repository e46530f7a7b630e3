"""Fitting (this project's own): a plain net takes over what its teacher answers with its shortcuts, and trains on.

The student is the teacher without its shortcuts. Before the first step every block is fitted, on ``images`` training
images and without a label, to answer what the teacher's block answers with its shortcut:

    activation(body'(x')) ~ activation(body(x) + shortcut(x)),      x' what the plain net has there, x the teacher's map

In all convolutions of body' but the last, a part of the channels hands the input on, by Dirac kernels, and the others
go on computing; the last is the solution of a ridge regression. From there each block is trained, together with the one
in front of it, ``passes`` times over the same images and towards the same maps (block reconstruction: Li et al.,
"BRECQ", 2021, for quantisation). `unskip.edits.fit_without_shortcuts` says how. Then the plain net trains under
AlignKD's loss. There is no shortcut at any step, so a step costs what `align_kd`'s does.

| symbol | here | default |
|---|---|---|
| images that the blocks are fitted on | ``images`` | 5120, or as many as keep a block's maps within 1 GiB |
| passes over them, for each block | ``passes`` | 10 |
| alpha, temperature of the KL | ``alpha``, ``temperature`` | as in `align_kd` |
| eta, its end, its decay | ``feature_weight``, ``final_feature_weight``, ``decay_share`` | as in `align_kd` |
| how maps are compared, and where | ``feature``, ``taps`` | as in `align_kd` |

When to use it: for a network that is trained already, and loses more than 16 shortcuts (with up to nine `fade_kd` keeps
more, with up to 16 `fade_joint_rd`), or where there are fewer than 1,000 steps. Networks that were trained for long
lean on their shortcuts so much that cutting them, at once or slowly, leaves little. Before the first step a ResNet-56
for CIFAR-10 keeps 86.6 ± 0.1 of 89.3 %, where the cut leaves 10 (three draws of images; 77.4 ± 0.3 by least squares
alone), and 87.2 ± 0.1 after two epochs. Without the nine shortcuts of its first stage alone, which hold its peak of
memory (see `unskip inspect`), it keeps 89.1 ± 0.1.

Fitting takes about as long as training the plain net on twice ``images`` times ``passes`` images, whatever its depth;
the run says how far it is. Large photographs and few epochs call for less of both.

A fitted start is a delicate one: steps at a rate for fresh networks undo it. Where a recipe names neither optimiser nor
schedule, this method's are AdamW with a highest rate of 0.0001.

Teacher and student must be of one architecture: for a student of another depth or width take `align_kd`. Bodies that
are not convolutions, BatchNorms and activations in series, such as those with squeeze-and-excitation at their end or
with layer norms, are trained from the teacher's weights without the ridge regression; with ``passes: 0`` they keep
them, as when shortcuts are cut, and the run names them.

In your own training loop, `loss.prepare(images)` fits; without it the student starts as the teacher, cut.

Departures: none of the papers does this; the loss is `align_kd`'s. RMNet (Meng et al., 2021) carries maps by Dirac
kernels too, in further channels, and is exact; here no layer is wider. He, Zhang and Sun (2017) reconstruct pruned
layers by least squares in the same order; Wang et al. ("Progressive Blockwise Knowledge Distillation", 2018) replace
blocks one by one, through the whole net.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.methods._from_teacher import shortcuts_that_go
from unskip.methods.align_kd import AlignKD
from unskip.methods.base import Method, Phase, Rates
from unskip.nets import StagedNet
from unskip.surgery import fit_without_shortcuts, residual_blocks, without_shortcuts
from unskip.tasks import Task
from unskip.units import duration

_BATCH = 64
_BYTES = 2**30  # of the maps that are kept in front of a block and behind it


class FitKD(AlignKD):
    """Fitting, with its hyper-parameters as fields besides AlignKD's."""

    rates: ClassVar[Rates] = "of_fitted"
    starts_as_teacher: ClassVar[bool] = True

    images: int = Field(5120, ge=2, le=100_000, description="training images on which the blocks are fitted")
    passes: float = Field(10.0, ge=0.0, le=1000.0, description="how often a block sees them; 0 for least squares alone")

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

    def prepare(
        self,
        teacher: StagedNet,
        student: StagedNet,
        images: Callable[[int], Tensor],
        on_progress: Callable[[str], object],
    ) -> str:
        """Fit the student's blocks, in place, and say how well they stand in; see `Method.prepare`.

        Raises `UnskipError` where none can be fitted.
        """
        device = next(student.parameters()).device
        most = max(2, _BYTES // _bytes_of_a_map(teacher, images(2)[:2].to(device)))
        count = min(self.images, most)
        shown = images(count)[:count].to(device)
        batches = shown.split(max(1, min(_BATCH, len(shown) // 2)))
        keep = list(residual_blocks(student))
        blocks = len(residual_blocks(teacher)) - len(keep)
        places: list[str] = []
        began = time.perf_counter()

        def on_block(place: str, unexplained: float) -> None:
            places.append(place)
            left = (time.perf_counter() - began) / len(places) * max(blocks - len(places), 0)
            on_progress(
                f"block {len(places)} of {blocks} fitted: {place} misses {100 * unexplained:.1f} %, "
                f"about {duration(left)} left"
            )

        fitted = fit_without_shortcuts(teacher, batches, passes=self.passes, keep=keep, on_block=on_block)
        if not fitted.unexplained:
            place, reason = next(iter(fitted.unfitted.items()))
            raise UnskipError(f"fit_kd can fit none of the blocks: {place}: {reason}; set `passes` above 0")
        student.load_state_dict(fitted.net.state_dict())
        errors = sorted(100 * error for error in fitted.unexplained.values())
        fewer = len(shown) == count < self.images  # for their maps, not for want of images
        of = f" of {self.images}" if fewer else ""
        sentence = (
            f"{len(errors)} block{'s' * (len(errors) > 1)} fitted on {len(shown)}{of} images; without their shortcuts "
            f"they miss {errors[0]:.1f} to {errors[-1]:.1f} % of the variance of what they answered"
        )
        if fewer:
            sentence += f" (more images would take more than {_BYTES // 2**30} GiB for the maps of one block)"
        if fitted.unfitted:
            place, reason = next(iter(fitted.unfitted.items()))
            sentence += f"; {len(fitted.unfitted)} could not be, {place} first: {reason}"
        return sentence

    def images_to_prepare(self, num_images: int) -> float:
        """Every block is trained together with another one: two plain nets' worth of training, whatever the depth."""
        return 2 * self.passes * min(self.images, num_images)

    def continued(self) -> Method:
        """AlignKD: the student is fitted."""
        return self.as_method(AlignKD).continued()


@torch.no_grad()
def _bytes_of_a_map(net: StagedNet, images: Tensor) -> int:
    """What the largest map that enters or leaves a block takes for one image."""
    largest = 1

    def look(_: nn.Module, arguments: tuple[Tensor, ...], answer: Tensor) -> None:
        nonlocal largest
        largest = max(largest, *(x.numel() * x.element_size() // len(x) for x in (arguments[0], answer)))

    net = copy.deepcopy(net).eval()
    handles = [net.get_submodule(place).register_forward_hook(look) for place in residual_blocks(net)]
    try:
        net(images)
    finally:
        for handle in handles:
            handle.remove()
    return largest
