"""From a teacher and images to the networks that ship: what the command line and Python users call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from unskip.data import Data
from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.methods.base import DistillationLoss, Method
from unskip.nets import StagedNet, staged
from unskip.recipe import TrainingRecipe
from unskip.recipe.training import with_optimizer_of_fitted
from unskip.surgery import with_fading_shortcuts, without_shortcuts
from unskip.tasks import Task
from unskip.training.can_learn import check_batch, check_can_learn, first_obstacle, num_images_to_look_at
from unskip.training.checkpoint import Checkpoint
from unskip.training.fit import TrainingBatches, fit
from unskip.training.loaders import LoaderImages
from unskip.training.monitor import Monitor, OnEpoch
from unskip.training.prepared_training import PreparedTraining, prepare_training

OnSnapshot = Callable[[int, StagedNet], object]
"""What takes the network that is trained, as it is after a number of epochs; it is trained on afterwards."""


def plain(model: nn.Module, *, fading: bool = False, example_input: Tensor | None = None) -> StagedNet:
    """Any network without its shortcuts, a copy with the same weights; see `without_shortcuts`.

    With ``fading`` they are there, and fade while `fade_kd` trains; see `with_fading_shortcuts`. ``example_input`` are
    images (batch, channels, height, width) to parse the network with, of a usual size by default.
    """
    net = staged(model, example_input)
    return with_fading_shortcuts(net) if fading else without_shortcuts(net)


@dataclass(frozen=True)
class Distilled(Mapping[str, StagedNet]):
    """The networks that ship, by name (most methods give one, ``student``), in eval mode.

    ``student`` is the network as its training left it, with all its depths or its faded shortcuts; ``history`` holds a
    record of every epoch (see `unskip.training.fit.fit`).
    """

    nets: Mapping[str, StagedNet]
    student: StagedNet
    history: list[dict[str, Any]]

    def __getitem__(self, name: str) -> StagedNet:
        return self.nets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nets)

    def __len__(self) -> int:
        return len(self.nets)


@dataclass(frozen=True)
class ImagesOf:
    """The images of a first epoch, batch by batch, made when they are asked for, as often as they are."""

    batches: TrainingBatches

    def __iter__(self) -> Iterator[Tensor]:
        return (images for images, _ in self.batches.epoch(0))


def distill(
    teacher: nn.Module | None,
    data: Data | Iterable[Any],
    method: Method,
    *,
    student: nn.Module | None = None,
    test: Iterable[Any] | None = None,
    training: TrainingRecipe | None = None,
    task: Task | None = None,
    seed: int = 0,
    monitor: Monitor | None = None,
    on_epoch: OnEpoch | None = None,
    on_snapshot: OnSnapshot | None = None,
    checkpoint: str | Path | None = None,
) -> Distilled:
    """Train a student by a method, and return what ships.

    Networks that are no `StagedNet` are parsed. The student is by default the teacher without its shortcuts, from its
    weights; with ``CE()`` no teacher is needed: ``distill(None, data, CE(), student=net)`` trains on the labels. A
    student that is a `StagedNet` is trained in place, unless the method makes a network of its own of it; the teacher
    is not changed.

    ``data``: what `load_data` gives, or batches (images, labels), for a task without labels of images alone too, that
    can be gone through once an epoch, such as a `DataLoader`; its batches are taken as they are, whatever
    ``training.batch_size`` says. ``test``: such batches to validate on, by default ``data``'s own test images where it
    has some.

    ``on_epoch`` is called after every epoch with its record: a mapping with ``net``, here the method's name, and what
    ``history`` holds. It is where an experiment tracker is fed, and what it raises ends the training. An epoch that is
    trained again, after an interruption within it, is reported again. ``monitor`` shows the training; one of your own
    takes ``on_epoch`` itself.

    ``on_snapshot`` is called with a number of epochs, and the network that is trained as it is then, for each of
    ``training.snapshots``, 0 being before the first step; what shall be kept is to be copied.

    Where ``training`` is given neither an optimiser nor a schedule, those of a method that fits (`Method.rates`) are a
    fitted start's, AdamW with a highest rate of 0.0001.

    With ``checkpoint``, a file, the same call goes on where it was interrupted, and returns at once when it was done.
    The weights are those of an uninterrupted training, bit by bit on the same machine, if the batches are a function of
    seed, epoch and step: those of `load_data` are, for others see `unskip.training.loaders.LoaderBatches`.

    Raises `UnskipError` where networks, method, task and data do not fit, when the network cannot learn (see
    `unskip.training.can_learn`; it is looked at once, not when a training goes on), or when the loss is no longer
    finite.
    """
    training = _for_start(method, training or TrainingRecipe())
    if training.snapshots and on_snapshot is None:
        raise UnskipError("`training.snapshots` are kept in the folder of a run; here `on_snapshot` takes them")
    if on_epoch is not None:
        if monitor is not None:
            raise UnskipError("give `on_epoch` to the `monitor`, or leave the monitor out")
        monitor = Monitor(_label(method), Console(quiet=True), on_epoch=on_epoch)
    loss, history = train_student(
        teacher,
        data,
        method,
        student=student,
        test=test,
        training=training,
        task=task,
        seed=seed,
        monitor=monitor,
        checkpoint=None if checkpoint is None else Checkpoint(Path(checkpoint)),
        on_snapshot=on_snapshot,
    )
    loss.student.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    images = data if isinstance(data, Data) else LoaderImages(data, next(loss.student.parameters()).device)
    nets = loss.finish(ImagesOf(images.train_batches(training.batch_size, seed)))
    return Distilled(nets, loss.student, history)


def train_student(
    teacher: nn.Module | None,
    data: Data | Iterable[Any],
    method: Method,
    *,
    student: nn.Module | None = None,
    test: Iterable[Any] | None = None,
    training: TrainingRecipe,
    task: Task | None = None,
    seed: int = 0,
    monitor: Monitor | None = None,
    checkpoint: Checkpoint | None = None,
    on_snapshot: OnSnapshot | None = None,
) -> tuple[DistillationLoss, list[dict[str, Any]]]:
    """:func:`distill` up to the end of the training: the loss, which holds the student, and a record of every epoch."""
    saved = checkpoint.load() if checkpoint else None
    before = saved.get("numerics") if saved else None  # those of earlier versions have none
    ready = prepare_training(
        teacher, data, method, student=student, test=test, training=training, task=task, seed=seed, before=before
    )
    loss, images, fabric = ready.loss, ready.images, ready.fabric

    def validate() -> float | None:
        if ready.tests is None:
            return None
        with fabric.autocast():
            return evaluate(loss.student, ready.tests.epoch(0), ready.task).value

    with monitor or Monitor(_label(method), Console(quiet=True)) as shown:
        if checkpoint is None or not checkpoint.exists():
            listener = shown.preparing if fabric.is_global_zero else str
            prepared = loss.prepare(functools.partial(images.train_images, seed=seed), listener)
            if prepared and fabric.world_size > 1:  # processes that found it each for themselves differ by rounding
                loss.student.load_state_dict(fabric.broadcast(loss.student.state_dict()))
            start = validate() if prepared else None
            if prepared and fabric.is_global_zero:
                shown.say(prepared + ("" if start is None else f"; score {100 * start:.2f} % before the first step"))
            _check_start(ready)
            obstacle = first_obstacle(loss.student)
            if obstacle is not None and fabric.is_global_zero:
                shown.say(
                    f"{obstacle} is at most 0.001 and lets next to nothing pass yet; it has to grow while the "
                    "shortcuts fade, so let them fade in more steps where the network stays behind"
                )
            if (remark := method.remark(loss.student)) and fabric.is_global_zero:
                shown.say(remark)
        history = fit(
            loss,
            ready.batches,
            fabric=fabric,
            settings=ready.settings,
            seed=seed,
            validate=validate,
            monitor=shown,
            checkpoint=checkpoint,
            saved=saved,
            data=_identity(images) if checkpoint else None,
            snapshot=on_snapshot and (lambda epochs: on_snapshot(epochs, loss.student)),
        )
    return loss, history


def _for_start(method: Method, training: TrainingRecipe) -> TrainingRecipe:
    """The settings with what they leave open filled in for the start that a method gives."""
    if method.rates != "of_fitted":
        return training
    return TrainingRecipe.model_validate(with_optimizer_of_fitted(training.model_dump(exclude_unset=True)))


def _label(method: Method) -> str:
    return method.name.replace(":", ".")


def _check_start(ready: PreparedTraining) -> None:
    """Raise `UnskipError`, in all processes alike, for a network that cannot learn or a batch too small for it.

    The first process looks; its share of a batch is the smallest.
    """
    refusal = ""
    loss, images, batches, fabric = ready.loss, ready.images, ready.batches, ready.fabric
    if fabric.is_global_zero:
        try:
            if images.num_train // len(batches) // fabric.world_size == 1:
                check_batch(loss.phases, images.train_images(1, 0))
            check_can_learn(loss.student, images.train_images(num_images_to_look_at(images.image_shape), 0))
        except UnskipError as error:
            refusal = str(error)
    refusal = fabric.broadcast(refusal)
    if refusal:
        raise UnskipError(refusal)


def _identity(images: Data | LoaderImages) -> dict[str, Any]:
    """What a training that goes on must find again."""
    if isinstance(images, LoaderImages):
        return images.identity
    return {"fingerprint": images.fingerprint, "mean": list(images.mean), "std": list(images.std)}
