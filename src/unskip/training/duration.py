"""How long a training will take: a few of its own steps, taken by copies of its networks, and the clock."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unskip.data import Data
from unskip.evaluation import evaluate
from unskip.methods.base import DistillationLoss, Method, Phase
from unskip.recipe import Constant, TrainingRecipe
from unskip.tasks import Task
from unskip.training.device import random_as_it_was
from unskip.training.fit import TrainingBatches
from unskip.training.phase import running
from unskip.training.prepared_training import PreparedTraining, prepare_training

_LEAST, _MOST = 10, 50  # timed steps of a phase, where the time allows
_SHARE = 0.01  # of a training that is spent on saying how long it will take
_HALFWAY = 0.5  # of a phase: its shortcuts have faded, its weights have fallen


@dataclass(frozen=True)
class Estimate:
    """How long a training takes on this machine as it was when it was asked: ``steps`` steps and ``validations``.

    What the method does before the first step takes as long as ``preparation`` steps. Times are in seconds. What begins
    and ends a training (reading images, saving, exporting) is not counted.
    """

    seconds_per_step: float
    steps: int
    seconds_per_validation: float
    validations: int
    preparation: float = 0.0

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.seconds_left(0.0)

    def seconds_left(self, share_done: float) -> float:
        """What is left of it after a share, 0 to 1, of its steps."""
        steps = (1 - share_done) * self.steps + (0 if share_done else self.preparation)
        return steps * self.seconds_per_step + (1 - share_done) * self.validations * self.seconds_per_validation


def estimate(
    teacher: nn.Module | None,
    data: Data | Iterable[Any],
    method: Method,
    *,
    student: nn.Module | None = None,
    test: Iterable[Any] | None = None,
    training: TrainingRecipe,
    task: Task | None = None,
    seed: int = 0,
    within: float = 5.0,
) -> Estimate:
    """How long :func:`unskip.distill` with these arguments will take: ``within`` about so many seconds, or sooner.

    Networks and random generators are what they were; see :func:`seconds_per_step`. Raises `UnskipError` where the
    arguments do not fit each other.
    """
    copies = copy.deepcopy((teacher, student))  # a loss goes to the device with its networks
    ready = prepare_training(
        copies[0], data, method, student=copies[1], test=test, training=training, task=task, seed=seed
    )
    return estimate_of(ready, method, within=within)


def estimate_of(ready: PreparedTraining, method: Method, *, within: float = 5.0) -> Estimate:
    """How long a training by a method that is ready will take; it is not changed."""
    epochs = sum(phase.epochs for phase in ready.loss.phases)
    steps = epochs * len(ready.batches)
    per_step = seconds_per_step(ready.loss, ready.batches, fabric=ready.fabric, settings=ready.settings, within=within)
    in_batches = len(ready.batches) * ready.settings.batch_size
    images = ready.images.num_train if isinstance(ready.images, Data) else in_batches
    preparation = method.images_to_prepare(images) * len(ready.batches) / images
    if ready.tests is None:
        return Estimate(per_step, steps, 0.0, 0, preparation)
    every = ready.settings.validate_every
    validations = epochs // every + (epochs % every > 0)
    limit = min(within / 5, _SHARE * steps * per_step)
    return Estimate(per_step, steps, _seconds_per_validation(ready, ready.tests, limit), validations, preparation)


def seconds_per_step(
    loss: DistillationLoss,
    batches: TrainingBatches,
    *,
    fabric: Fabric,
    settings: TrainingRecipe,
    within: float = 5.0,
) -> float:
    """Seconds from one step of a training to the next, images fetched and weights changed, mean over all its steps.

    Each phase is measured on a copy of its networks: the later half of its steps within the time, as the first ones
    find the memory and the loader's processes cold. All together take about ``within`` seconds, or a hundredth of the
    training where that is less. The loss, its gradients and the state of all random
    generators are afterwards what they were, and a training that follows is the same bit by bit; a loader that draws
    from a generator of its own has drawn from it.

    Several processes ask together.
    """
    epochs = [phase.epochs for phase in loss.phases]
    with random_as_it_was(fabric):
        times = [
            _seconds(copy.deepcopy(phase), batches, fabric, settings, within / len(epochs)) for phase in loss.phases
        ]
    return sum(each * share for each, share in zip(times, epochs, strict=True)) / sum(epochs)


def _seconds(phase: Phase, batches: TrainingBatches, fabric: Fabric, settings: TrainingRecipe, within: float) -> float:
    steps = phase.epochs * len(batches)
    settings = settings.model_copy(update={"schedule": Constant()})  # others end with the training's last step
    times: list[float] = []
    with running(phase, fabric=fabric, settings=settings, steps_per_epoch=len(batches)) as run:
        run.objective.train()
        images_and_labels = _endless(batches)
        next(images_and_labels)  # what begins an epoch is done once
        began = started = time.perf_counter()
        for images, labels in images_and_labels:
            run.step(images, labels, _HALFWAY)
            _wait(fabric)
            times.append(time.perf_counter() - started)
            started = time.perf_counter()
            late_times = times[len(times) // 2 :]
            spent = started - began
            due = len(times) >= _LEAST and spent > _SHARE * steps * median(late_times)
            # One process decides, so that all take as many steps.
            if fabric.broadcast(due or spent > within or len(times) >= _MOST):
                break
    return sum(late_times) / len(late_times)


def _endless(batches: TrainingBatches) -> Iterator[tuple[Tensor, Tensor]]:
    epoch = 0
    while True:
        yield from batches.epoch(epoch)
        epoch += 1


def _wait(fabric: Fabric) -> None:
    """Until the device has done what it was told."""
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)


def _seconds_per_validation(ready: PreparedTraining, tests: TrainingBatches, limit: float) -> float:
    """Of all test batches, from the first ones within ``limit`` seconds."""
    times: list[float] = []
    with random_as_it_was(ready.fabric):
        student = copy.deepcopy(ready.loss.student)
        batches = tests.epoch(0)
        batch = next(batches, None)
        while batch is not None and sum(times) <= limit:
            began = time.perf_counter()
            with ready.fabric.autocast():
                evaluate(student, [batch], ready.task)
            batch = next(batches, None)
            _wait(ready.fabric)
            times.append(time.perf_counter() - began)
    return sum(times) / max(len(times), 1) * len(tests)
