"""The loss of a whole training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.methods._objective import Phase, only_trainable
from unskip.nets import StagedNet


class DistillationLoss(nn.Module):
    """The loss of a whole training, phase after phase: what :func:`unskip.distill` and a loop of one's own minimise.

    ``student`` is the network that is trained. ``parameters()`` are all that is trained in any phase, with layers that
    are dropped afterwards and without the teacher, which `.to` moves too. ``terms`` are those of the last call,
    detached. `train()` and `eval()` of the loss, not of the student, set the modes that the phase needs.
    """

    def __init__(
        self,
        student: StagedNet,
        phases: Sequence[Phase],
        deployables: Callable[[StagedNet, Iterable[Tensor]], Mapping[str, StagedNet]],
        prepare: Callable[[Callable[[int], Tensor], Callable[[str], object]], str],
    ) -> None:
        super().__init__()
        self.student = student
        self.deployables = deployables
        self._prepare = prepare
        self.phases = tuple(phases)
        self.objectives = nn.ModuleList(phase.objective for phase in phases)
        self.terms: dict[str, Tensor] = {}
        for phase in phases:
            held = {id(parameter) for parameter in phase.objective.parameters()}
            outside = [name for name, each in phase.trainable.named_parameters() if id(each) not in held]
            if outside:
                raise UnskipError(
                    f"the objective of the phase {phase.name} does not hold what is trained: {outside[0]}"
                )
        self._place = 0
        self.train()

    def train(self, mode: bool = True) -> DistillationLoss:
        """Set the modes of what the phase runs; what it leaves as it is stays in eval mode."""
        self.training = mode
        self.phases[self._place].objective.train(mode)
        return self

    def forward(self, images: Tensor, labels: Tensor | None = None, progress: float = 0.0) -> Tensor:
        """The loss of a batch, a scalar.

        images: (batch, channels, height, width); labels: (batch,) int64, not needed for a task without labels;
        progress: share of all steps that are done, 0 to 1, which says the phase too.
        """
        place, share = self._phase_at(progress)
        if place != self._place:
            self._place = place
            self.train(self.training)
        if labels is None:
            self.phases[place].objective.task.check_unlabelled()
            labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        with only_trainable(self.phases[place]):
            terms = self.phases[place].objective(images, labels, share)
        self.terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def _phase_at(self, progress: float) -> tuple[int, float]:
        """The phase at a share of the training, and the share of that phase that is done."""
        if len(self.phases) == 1:
            return 0, progress
        epoch = progress * sum(phase.epochs for phase in self.phases) + 1e-9  # no beginning is missed by rounding
        for place, phase in enumerate(self.phases[:-1]):
            if epoch < phase.epochs:
                return place, epoch / phase.epochs
            epoch -= phase.epochs
        return len(self.phases) - 1, epoch / self.phases[-1].epochs

    def prepare(
        self,
        images: Tensor | Callable[[int], Tensor],
        on_progress: Callable[[str], object] = lambda text: None,
    ) -> str:
        """Give the student the start that the method finds for it on training images, before the first step.

        ``images``: (count, channels, height, width), or what gives so many of them; ``on_progress`` takes words on how
        far it is. Most methods have nothing to do. Returns a sentence about what was done, or nothing.
        """
        return self._prepare(images if callable(images) else lambda _: images, on_progress)

    def finish(self, images: Iterable[Tensor] = ()) -> Mapping[str, StagedNet]:
        """What ships, by name, as copies in eval mode; the training can go on.

        ``images``: batches of training images, for methods that still look at some; see `Method.deployables`.
        """
        shipped = self.deployables(self.student, images)
        return {name: copy.deepcopy(net).eval() for name, net in shipped.items()}
