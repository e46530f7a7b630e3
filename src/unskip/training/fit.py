"""The only training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from unskip.errors import UnskipError
from unskip.methods.base import DistillationLoss
from unskip.recipe import TrainingRecipe
from unskip.training.average import AverageWeights
from unskip.training.checkpoint import Checkpoint
from unskip.training.device import describe_numerics, numerics_of
from unskip.training.monitor import Monitor
from unskip.training.phase import running

_STEPS_BETWEEN_CHECKS = 20


class TrainingBatches(Protocol):
    """Batches of images (batch, channels, height, width) and labels (batch,), a function of seed, epoch and step."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch from a step on."""


@dataclass
class _State:
    """How far a training is.

    ``epoch`` counts from the phase's beginning, ``images``, ``sums`` of the terms and ``epoch_seconds`` from the
    epoch's, ``seconds`` from the training's.
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
    loss: DistillationLoss,
    batches: TrainingBatches,
    *,
    fabric: Fabric,
    settings: TrainingRecipe,
    seed: int,
    validate: Callable[[], float | None],
    monitor: Monitor,
    checkpoint: Checkpoint | None = None,
    saved: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    snapshot: Callable[[int], object] | None = None,
) -> list[dict[str, Any]]:
    """Minimise a loss, one phase after the other, and return a record of every epoch.

    ``saved``, the state that ``checkpoint`` holds, is gone on from, with the same bits as without an interruption: data
    order, augmentation and dropout are functions of seed, epoch and step. ``validate`` gives what the task's
    metric says of the student. Records hold epoch (from 1), phase, loss and terms (means over the epoch), lr,
    numerics (see `describe_numerics`), images_per_second, seconds (training only, so far) and score (None where it was
    not validated). With ``settings.ema_decay`` the student is validated with the averages of its weights, and has them
    in the end.

    ``data`` is what identifies the images, as plain data; it is saved with the state. ``snapshot`` is called with each
    number of epochs in ``settings.snapshots`` when so many are done, the student being as it is validated; again with
    the same weights where the training was interrupted before it saved the next state.

    Raises `UnskipError` when the loss is no longer finite; the last good checkpoint stays. And when a checkpoint is of
    a training on other images.
    """
    if checkpoint and saved and saved["data"] != data:
        raise UnskipError(
            f"{checkpoint.path} is of a training on other images (or as many, otherwise labelled or normalised), and "
            "going on would mix the two; bring back the images that were there, or begin anew in another folder"
        )
    state = _State(**saved["state"]) if saved else _State()
    if saved:
        loss.load_state_dict(saved["loss"])
    average = None if settings.ema_decay is None else AverageWeights(loss.student, settings.ema_decay)
    if average is not None and saved and "average" in saved:
        average.load_state_dict(saved["average"])
    steps, total_epochs = len(batches), sum(phase.epochs for phase in loss.phases)

    def keep_snapshot(epochs: int) -> None:
        if snapshot is not None and epochs in settings.snapshots:
            with nullcontext() if average is None else average.in_place():
                snapshot(epochs)

    monitor.start(total_epochs, steps, len(state.history) * steps + state.step, state.history)
    if not saved:
        keep_snapshot(0)
    for index, phase in list(enumerate(loss.phases))[state.phase :]:
        with running(phase, fabric=fabric, settings=settings, steps_per_epoch=steps) as run:
            optimizer, schedule = run.optimizer, run.schedule
            if saved and saved["state"]["phase"] == index:
                optimizer.load_state_dict(saved["optimizer"])
                schedule.load_state_dict(saved["schedule"])

            def save(optimizer: Any = optimizer, schedule: Any = schedule) -> None:
                """Keep all that is needed to go on from here."""
                _check_weights(loss, state)
                if checkpoint is not None and fabric.is_global_zero:
                    kept = {"loss": loss, "optimizer": optimizer, "schedule": schedule, "average": average}
                    states = {name: each.state_dict() for name, each in kept.items() if each is not None}
                    what = {"data": data, "numerics": numerics_of(settings)}
                    checkpoint.save({"state": dict(vars(state)), **states, **what})
                fabric.barrier()

            while state.epoch < phase.epochs:
                run.objective.train()
                epoch, sums = len(state.history), _sums_so_far(state, fabric)
                started = last_saved = time.perf_counter()
                for images, labels in batches.epoch(epoch, state.step):
                    torch.manual_seed(_seed_of(seed, epoch, state.step) + fabric.global_rank)
                    progress = (state.epoch * steps + state.step) / (phase.epochs * steps)
                    terms = run.step(images, labels, progress)
                    if average is not None:
                        average.update(state.epoch * steps + state.step)
                    for name, term in terms.items():
                        sums[name] = sums.get(name, torch.zeros_like(term, dtype=torch.float64)) + term.detach()
                    state.step += 1
                    state.images += len(images) * fabric.world_size
                    if state.step % _STEPS_BETWEEN_CHECKS == 0:
                        _check_terms(sums, state)
                    if monitor.wants_terms():
                        rate = state.images / (time.perf_counter() - started + state.epoch_seconds)
                        numbers = {name: float(term.detach()) for name, term in terms.items()}
                        monitor.step(epoch * steps + state.step, rate, numbers)
                    if time.perf_counter() - last_saved > 60 * settings.checkpoint_minutes:
                        _close_stretch(state, sums, started, fabric)
                        sums, started = _sums_so_far(state, fabric), time.perf_counter()
                        save()
                        last_saved = time.perf_counter()
                _close_stretch(state, sums, started, fabric)

                due = (epoch + 1) % settings.validate_every == 0 or epoch + 1 == total_epochs
                state.seconds += state.epoch_seconds
                means = {name: total / state.step for name, total in state.sums.items()}
                with nullcontext() if average is None else average.in_place():
                    score = validate() if due else None
                record = {
                    "epoch": epoch + 1,
                    "phase": phase.name,
                    "loss": sum(means.values()),
                    "terms": means,
                    "lr": optimizer.param_groups[0]["lr"],
                    "numerics": describe_numerics(settings),
                    "images_per_second": state.images / state.epoch_seconds,
                    "seconds": state.seconds,
                    "score": score,
                }
                state.history.append(record)
                state.epoch, state.step, state.images, state.sums, state.epoch_seconds = state.epoch + 1, 0, 0, {}, 0.0
                if fabric.is_global_zero:
                    monitor.epoch(record)
                keep_snapshot(len(state.history))  # before the state, which says that it is there
                save()
        state.phase, state.epoch = index + 1, 0
    if average is not None:
        average.take()
    return state.history


def _seed_of(seed: int, epoch: int, step: int) -> int:
    return (((seed * 1_000_003 + epoch) * 1_000_003) + step) % 2**63


def _sums_so_far(state: _State, fabric: Fabric) -> dict[str, Tensor]:
    """The sums of the terms from the epoch's first step, in float64: the same wherever a stretch was closed."""
    return {name: torch.tensor(total, dtype=torch.float64, device=fabric.device) for name, total in state.sums.items()}


def _close_stretch(state: _State, sums: Mapping[str, Tensor], started: float, fabric: Fabric) -> None:
    """Bring the sums of the steps since the last save, and the time they took, into the state."""
    _check_terms(sums, state)
    for name, total in sums.items():
        reduced = fabric.all_reduce(total, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        state.sums[name] = float(reduced)
    state.epoch_seconds += time.perf_counter() - started


def _check_terms(sums: Mapping[str, Tensor], state: _State) -> None:
    broken = [name for name, total in sums.items() if not math.isfinite(float(total))]
    if broken:
        raise _diverged(f"the loss term {', '.join(broken)} is no longer finite", state)


def _check_weights(loss: DistillationLoss, state: _State) -> None:
    for name, parameter in loss.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise _diverged(f"weights are no longer finite ({name})", state)


def _diverged(problem: str, state: _State) -> UnskipError:
    return UnskipError(
        f"{problem} in epoch {len(state.history) + 1}, by step {state.step}: the training diverged. What was saved "
        "before is kept. Lower `training.optimizer.lr` or `training.schedule.max_lr`, set `training.clip_norm`, or set "
        "`training.precision` to float32"
    )
