"""The only training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from unskip.errors import UnskipError
from unskip.methods.base import Phase
from unskip.recipe import TrainingRecipe
from unskip.training.checkpoint import Checkpoint
from unskip.training.monitor import Monitor
from unskip.training.optim import make_optimizer, make_schedule
from unskip.training.synchronized import can_synchronize, synchronized_batchnorm

__all__ = ["TrainingBatches", "fit"]

_STEPS_BETWEEN_CHECKS = 20


class TrainingBatches(Protocol):
    """Batches of images (batch, channels, height, width) and labels (batch,), a function of seed, epoch and step."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch from a step on."""


@dataclass
class _State:
    """How far a training is.

    ``images``, ``sums`` of the terms and ``epoch_seconds`` count from the epoch's beginning, ``seconds`` from the
    training's.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(
    phases: Sequence[Phase],
    batches: TrainingBatches,
    *,
    fabric: Fabric,
    settings: TrainingRecipe,
    seed: int,
    validate: Callable[[], float],
    monitor: Monitor,
    checkpoint: Checkpoint | None = None,
    data: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Train the phases one after the other and return a record of every epoch.

    A checkpoint that is there is gone on from, with the same result, bit by bit, as if there had been no interruption:
    data order, augmentation and dropout are functions of seed, epoch and step. ``validate`` gives what the task's
    metric says of the student. Records hold epoch (from 1), phase, loss and terms (means over the epoch), lr,
    images_per_second, seconds (training only, so far) and score (None where it was not validated).

    ``data`` is what identifies the images, as plain data; it is saved with the state.

    Raises `UnskipError` when the loss is no longer finite; the last good checkpoint stays. And when a checkpoint is of
    a training on other images.
    """
    saved = checkpoint.load() if checkpoint else None
    if checkpoint and saved and saved.get("data") != data:
        raise UnskipError(
            f"{checkpoint.path} is of a training on other images (or as many, otherwise labelled or normalised), and "
            "going on would mix the two; bring back the images that were there, or begin anew in another folder"
        )
    state = _State(**saved["state"]) if saved else _State()
    total_epochs = sum(phase.epochs for phase in phases)
    done_before = len(state.history) * len(batches) + state.step
    monitor.start(total_epochs, len(batches), done_before, state.history)
    for index, phase in enumerate(phases):
        if index < state.phase:
            continue
        loop = _Loop(phase, batches, fabric, settings, seed, validate, monitor, checkpoint, state, total_epochs, data)
        with _only_trainable(phase), _synchronized(phase, fabric):
            loop.run(saved if saved and saved["state"]["phase"] == index else None)
        state.phase, state.epoch, state.step = index + 1, 0, 0
    return state.history


@contextmanager
def _only_trainable(phase: Phase) -> Iterator[None]:
    """No gradients, meanwhile, for parameters of the objective that the phase does not train."""
    trained = {id(parameter) for parameter in phase.trainable.parameters()}
    frozen = [p for p in phase.objective.parameters() if p.requires_grad and id(p) not in trained]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _synchronized(phase: Phase, fabric: Fabric) -> AbstractContextManager[None]:
    return synchronized_batchnorm(phase.objective) if can_synchronize(fabric) else nullcontext()


@dataclass
class _Loop:
    phase: Phase
    batches: TrainingBatches
    fabric: Fabric
    settings: TrainingRecipe
    seed: int
    validate: Callable[[], float]
    monitor: Monitor
    checkpoint: Checkpoint | None
    state: _State
    total_epochs: int
    data: Mapping[str, Any] | None

    def run(self, saved: dict[str, Any] | None) -> None:
        """Train one phase, from where a saved state left it."""
        self.optimizer = make_optimizer(self.settings.optimizer, self.phase.trainable)
        self.objective, self.wrapped_optimizer = self.fabric.setup(self.phase.objective, self.optimizer)
        self.schedule = make_schedule(
            self.settings.schedule,
            self.optimizer,
            epochs=self.phase.epochs,
            steps_per_epoch=len(self.batches),
        )
        if saved is not None:
            self.phase.objective.load_state_dict(saved["objective"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.schedule.load_state_dict(saved["schedule"])
        while self.state.epoch < self.phase.epochs:
            self._epoch()

    def _epoch(self) -> None:
        state = self.state
        self.objective.train()
        sums = self._sums_so_far()
        started = last_saved = time.perf_counter()
        for images, labels in self.batches.epoch(len(state.history), state.step):
            terms = self._step(images, labels)
            for name, term in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(term, dtype=torch.float64)) + term.detach()
            state.step += 1
            state.images += images.shape[0] * self.fabric.world_size
            if state.step % _STEPS_BETWEEN_CHECKS == 0:
                self._check_finite(sums)
            if self.monitor.wants_terms():
                now = time.perf_counter()
                rate = state.images / (now - started + state.epoch_seconds)
                done = len(state.history) * len(self.batches) + state.step
                self.monitor.step(done, rate, {name: float(term.detach()) for name, term in terms.items()})
            if time.perf_counter() - last_saved > 60 * self.settings.checkpoint_minutes:
                self._close_stretch(sums, started)
                sums, started = self._sums_so_far(), time.perf_counter()
                self._save()
                last_saved = time.perf_counter()
        self._close_stretch(sums, started)
        self._record()
        self._save()

    def _sums_so_far(self) -> dict[str, Tensor]:
        """The sums of the terms from the epoch's first step, in float64: the same wherever a stretch was closed."""
        device = self.fabric.device
        return {
            name: torch.tensor(total, dtype=torch.float64, device=device) for name, total in self.state.sums.items()
        }

    def _step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        state = self.state
        epoch, steps = len(state.history), len(self.batches)
        torch.manual_seed(
            (((self.seed * 1_000_003 + epoch) * 1_000_003) + state.step) % 2**63 + self.fabric.global_rank
        )
        progress = (state.epoch * steps + state.step) / (self.phase.epochs * steps)
        terms: dict[str, Tensor] = self.objective(images, labels, progress)
        self.wrapped_optimizer.zero_grad()
        self.fabric.backward(torch.stack(list(terms.values())).sum())
        if self.settings.clip_norm is not None:
            self.fabric.clip_gradients(
                self.objective,
                self.wrapped_optimizer,
                max_norm=self.settings.clip_norm,
                error_if_nonfinite=False,
            )
        self.wrapped_optimizer.step()
        self.schedule.step()
        return terms

    def _close_stretch(self, sums: dict[str, Tensor], started: float) -> None:
        """Bring the sums of the steps since the last save, and the time they took, into the state."""
        self._check_finite(sums)
        for name, total in sums.items():
            reduced = self.fabric.all_reduce(total, reduce_op="mean")
            assert isinstance(reduced, Tensor)
            self.state.sums[name] = float(reduced)
        self.state.epoch_seconds += time.perf_counter() - started

    def _record(self) -> None:
        state = self.state
        terms = {name: total / state.step for name, total in state.sums.items()}
        state.seconds += state.epoch_seconds
        epoch = len(state.history) + 1
        due = epoch % self.settings.validate_every == 0 or epoch == self.total_epochs
        record = {
            "epoch": epoch,
            "phase": self.phase.name,
            "loss": sum(terms.values()),
            "terms": terms,
            "lr": self.optimizer.param_groups[0]["lr"],
            "images_per_second": state.images / state.epoch_seconds,
            "seconds": state.seconds,
            "score": self.validate() if due else None,
        }
        state.history.append(record)
        state.epoch, state.step, state.images, state.sums, state.epoch_seconds = state.epoch + 1, 0, 0, {}, 0.0
        if self.fabric.is_global_zero:
            self.monitor.epoch(record)

    def _save(self) -> None:
        broken = [n for n, p in self.phase.objective.named_parameters() if not bool(torch.isfinite(p).all())]
        if broken:
            self._stop(f"weights are no longer finite ({broken[0]})")
        if self.checkpoint is not None and self.fabric.is_global_zero:
            self.checkpoint.save(
                {
                    "state": dict(vars(self.state)),
                    "objective": self.phase.objective.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "data": self.data,
                }
            )
        self.fabric.barrier()

    def _check_finite(self, sums: dict[str, Tensor]) -> None:
        broken = [name for name, total in sums.items() if not math.isfinite(float(total))]
        if broken:
            self._stop(f"the loss term {', '.join(broken)} is no longer finite")

    def _stop(self, what: str) -> None:
        state = self.state
        raise UnskipError(
            f"{what} in epoch {len(state.history) + 1}, by step {state.step}: the training diverged. What was saved "
            "before is kept. Lower training.optimizer.lr or training.schedule.max_lr, set training.clip_norm, or set "
            "training.precision to float32"
        )
