"""A phase that is being trained: its step, which the training and the estimate of its length both take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from unskip.errors import UnskipError, shortened
from unskip.methods.base import Phase, only_trainable
from unskip.recipe import TrainingRecipe
from unskip.training.optim import make_optimizer, make_schedule
from unskip.training.synchronized import can_synchronize, synchronized_batchnorm


@dataclass(frozen=True)
class RunningPhase:
    """What takes the steps of a phase.

    ``optimizer`` and ``schedule`` are PyTorch's own, ``objective`` and ``wrapped`` what Fabric makes of the loss and of
    the optimizer.
    """

    fabric: Fabric
    settings: TrainingRecipe
    optimizer: torch.optim.Optimizer
    schedule: Any
    objective: Any
    wrapped: Any

    def step(self, images: Tensor, labels: Tensor, progress: float) -> dict[str, Tensor]:
        """Change the weights by a batch, and return the terms of its loss; see `Objective.forward`.

        With ``settings.gradient_accumulation`` the batch comes in parts, and the gradient is the mean over its images.
        """
        self.wrapped.zero_grad()
        count = min(self.settings.gradient_accumulation, len(images))
        parts = list(zip(images.tensor_split(count), labels.tensor_split(count), strict=True))
        terms: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            share = len(part[0]) / len(images)
            with self.fabric.no_backward_sync(
                self.objective, enabled=index < count - 1
            ):  # processes wait for one another once
                for name, term in self._backward(*part, progress, share).items():
                    terms[name] = terms[name] + term if name in terms else term
        if self.settings.clip_norm is not None:
            self.fabric.clip_gradients(
                self.objective, self.wrapped, max_norm=self.settings.clip_norm, error_if_nonfinite=False
            )
        self.wrapped.step()
        self.schedule.step()
        return terms

    def _backward(self, images: Tensor, labels: Tensor, progress: float, share: float) -> dict[str, Tensor]:
        """Add the gradient of a part of a batch, and return the terms of its loss, both times its share of it."""
        if self.settings.compile is True and images.is_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        terms: dict[str, Tensor] = self.objective(images, labels, progress)
        total = torch.stack(list(terms.values())).sum()
        self.fabric.backward(total if share == 1 else share * total)
        return terms if share == 1 else {name: share * term.detach() for name, term in terms.items()}


@contextmanager
def running(phase: Phase, *, fabric: Fabric, settings: TrainingRecipe, steps_per_epoch: int) -> Iterator[RunningPhase]:
    """A phase with its optimizer and its schedule at their beginning; what it does not train has no gradients.

    With ``settings.compile`` its whole objective is compiled, the teacher too; on a GPU it is replayed as CUDA graphs,
    which launch faster than kernels one by one.
    """
    with ExitStack() as meanwhile:
        meanwhile.enter_context(only_trainable(phase))
        if can_synchronize(fabric):
            meanwhile.enter_context(synchronized_batchnorm(phase.objective))
        optimizer = make_optimizer(settings.optimizer, phase.trainable, fused=fabric.device.type == "cuda")
        schedule = make_schedule(settings, optimizer, epochs=phase.epochs, steps_per_epoch=steps_per_epoch)
        whole: Any = phase.objective
        if settings.compile is True:
            whole = torch.compile(whole, mode="reduce-overhead" if fabric.device.type == "cuda" else None)
        objective, wrapped = fabric.setup(whole, optimizer)
        try:
            yield RunningPhase(fabric, settings, optimizer, schedule, objective, wrapped)
        except Exception as error:
            if settings.compile is True and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = shortened(" ".join(str(error).split()))
                raise UnskipError(
                    f"PyTorch cannot compile the step here ({reason}); set training.compile to false"
                ) from error
            raise
