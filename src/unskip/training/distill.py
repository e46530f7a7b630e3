"""From a teacher and images to the networks that ship: what the command line and Python users call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from unskip.data import Data
from unskip.errors import UnskipError, first_line
from unskip.evaluation import evaluate
from unskip.methods.base import DistillationLoss, Method
from unskip.nets import StagedNet, staged
from unskip.nets.shapes import on_one_image
from unskip.recipe import TrainingRecipe
from unskip.surgery import with_fading_shortcuts, without_shortcuts
from unskip.tasks import Classification, Task
from unskip.training.can_learn import check_batch, check_can_learn, first_obstacle, num_images_to_look_at
from unskip.training.checkpoint import Checkpoint
from unskip.training.device import make_fabric, place, uses_channels_last
from unskip.training.fit import TrainingBatches, fit
from unskip.training.loaders import LoaderBatches, LoaderImages
from unskip.training.monitor import Monitor


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
    checkpoint: Path | None = None,
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

    With ``checkpoint``, a file, the same call goes on where it was interrupted, and returns at once when it was done.
    The weights are those of an uninterrupted training, bit by bit on the same machine, if the batches are a function of
    seed, epoch and step: those of `load_data` are, for others see `unskip.training.loaders.LoaderBatches`.

    Raises `UnskipError` where networks, method, task and data do not fit, when the network cannot learn (see
    `unskip.training.can_learn`; it is looked at once, not when a training goes on), or when the loss is no longer
    finite.
    """
    training = training or TrainingRecipe()
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
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint),
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
) -> tuple[DistillationLoss, list[dict[str, Any]]]:
    """:func:`distill` up to the end of the training: the loss, which holds the student, and a record of every epoch."""
    fabric = make_fabric(training)
    teacher = None if teacher is None else staged(teacher)
    task = task or Classification()
    task = task if teacher is None else task.with_teacher(teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for layers that only the training has
        loss = method.loss(teacher, student, task=task, epochs=training.epochs)
    place(loss, fabric, training)
    images = data if isinstance(data, Data) else LoaderImages(data, fabric.device, task)
    if isinstance(images, Data) and not images.classes:
        task.check_unlabelled()
    _check_options(images, teacher, loss.student)
    _check_images(images, teacher, loss.student)
    channels_last = uses_channels_last(training)
    batches = images.train_batches(
        training.batch_size,
        seed,
        channels_last=channels_last,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    tests: TrainingBatches | None = None
    if test is not None:
        tests = LoaderBatches(test, fabric.device, task, channels_last=channels_last)
    elif isinstance(images, Data):
        tests = images.test_batches(512, channels_last=channels_last)

    def validate() -> float | None:
        if tests is None:
            return None
        with fabric.autocast():
            return evaluate(loss.student, tests.epoch(0), task).value

    with monitor or Monitor(method.name.replace(":", "."), Console(quiet=True)) as shown:
        if checkpoint is None or not checkpoint.exists():
            _check_start(loss, images, batches, fabric)
            obstacle = first_obstacle(loss.student)
            if obstacle is not None and fabric.is_global_zero:
                shown.say(
                    f"{obstacle} is at most 0.001 and lets next to nothing pass yet; it has to grow while the "
                    "shortcuts fade, so let them fade in more steps where the network stays behind"
                )
        history = fit(
            loss,
            batches,
            fabric=fabric,
            settings=training,
            seed=seed,
            validate=validate,
            monitor=shown,
            checkpoint=checkpoint,
            data=_identity(images) if checkpoint else None,
        )
    return loss, history


def _check_start(loss: DistillationLoss, images: Data | LoaderImages, batches: TrainingBatches, fabric: Fabric) -> None:
    """Raise `UnskipError`, in all processes alike, for a network that cannot learn or a batch too small for it.

    The first process looks; its share of a batch is the smallest.
    """
    refusal = ""
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


def _check_options(images: Data | LoaderImages, teacher: StagedNet | None, student: StagedNet) -> None:
    """Raise `UnskipError` when a network has another number of classes, or of image channels, than the images."""
    needed = {"in_channels": images.image_shape[0]}
    if isinstance(images, Data) and images.classes:
        needed["num_classes"] = len(images.classes)
    for name, net in (("network", student), ("teacher", teacher)):
        options = net.spec.options if net and net.spec else {}
        for option, count in needed.items():
            if options.get(option, count) != count:
                raise UnskipError(f"the {name} has {option} = {options[option]}, but the images need {count}")


def _check_images(images: Data | LoaderImages, teacher: StagedNet | None, student: StagedNet) -> None:
    """Raise `UnskipError` where a network does not run on the images, or has too few answers for their classes."""
    shape = images.image_shape
    for name, net in (("network", student), ("teacher", teacher)):
        if net is None:
            continue
        try:
            answers = on_one_image(net, shape, lambda twin, image: twin(image))
        except UnskipError:
            raise
        except Exception as error:  # whatever a network of others raises
            raise UnskipError(
                f"the {name} does not take images of {'x'.join(map(str, shape))}: {first_line(error)}"
            ) from error
        classes = len(images.classes) if isinstance(images, Data) else 0
        if isinstance(answers, Tensor) and answers.ndim == 2 and answers.shape[1] < classes:
            raise UnskipError(f"the {name} tells {answers.shape[1]} classes apart, but the images have {classes}")
