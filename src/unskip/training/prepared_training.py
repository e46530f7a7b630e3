"""What a training takes before its first step: networks and images that fit each other, on the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unskip.data import Data
from unskip.errors import UnskipError, first_line
from unskip.methods.base import DistillationLoss, Method
from unskip.nets import StagedNet, staged
from unskip.nets.shapes import on_one_image
from unskip.recipe import TrainingRecipe
from unskip.tasks import Classification, Task
from unskip.training.device import image_layout, make_fabric, numerics_of, place
from unskip.training.fastest import decided
from unskip.training.fit import TrainingBatches
from unskip.training.loaders import LoaderBatches, LoaderImages
from unskip.training.mixing import MixedBatches


@dataclass(frozen=True)
class PreparedTraining:
    """A loss on its device, the images, this process's share of their batches, and batches to validate on, if any.

    ``settings`` say how it is computed, where the recipe leaves it open.
    """

    loss: DistillationLoss
    images: Data | LoaderImages
    batches: TrainingBatches
    tests: TrainingBatches | None
    task: Task
    settings: TrainingRecipe
    fabric: Fabric


def prepare_training(
    teacher: nn.Module | None,
    data: Data | Iterable[Any],
    method: Method,
    *,
    student: nn.Module | None,
    test: Iterable[Any] | None,
    training: TrainingRecipe,
    task: Task | None,
    seed: int,
    before: Mapping[str, str | bool] | None = None,
) -> PreparedTraining:
    """All of it from the arguments of :func:`unskip.distill`; `UnskipError` where they do not fit each other.

    ``before``: how a training that goes on was computed (see `numerics_of`).
    """
    if before is not None and before["device"] == numerics_of(training)["device"] and training.precision == "auto":
        training = training.model_copy(update={"precision": before["precision"]})
    fabric = make_fabric(training)
    teacher = None if teacher is None else staged(teacher)
    task = task or Classification()
    task = (task if teacher is None else task.with_teacher(teacher)).smoothed(training.label_smoothing)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for layers that only the training has
        loss = method.loss(teacher, student, task=task, epochs=training.epochs)
    loss.to(fabric.device)
    images = data if isinstance(data, Data) else LoaderImages(data, fabric.device, task)
    if isinstance(images, Data) and not images.classes:
        task.check_unlabelled()
    _check_options(images, teacher, loss.student)
    _check_images(images, teacher, loss.student)

    def batches_of(channels_last: bool) -> TrainingBatches:
        size, rank = training.batch_size, fabric.global_rank
        return images.train_batches(size, seed, channels_last=channels_last, rank=rank, world_size=fabric.world_size)

    batches = batches_of(False)
    steps = training.epochs * len(batches)
    if steps < method.least_steps:
        raise UnskipError(
            f"{method.name} needs {method.least_steps} steps at least, and this training has {steps}: take a smaller "
            "training.batch_size or more training.epochs"
        )
    training = decided(
        training,
        loss,
        batches.epoch(0) if isinstance(images, Data) else None,
        fabric=fabric,
        steps=steps,
        before=before,
    )
    place(loss, fabric, training)
    channels_last = image_layout(training) == torch.channels_last
    batches = batches_of(channels_last)
    if training.mixup or training.cutmix:
        answers = on_one_image(loss.student, images.image_shape, lambda twin, image: twin(image))
        batches = MixedBatches(batches, task, answers, training.mixup, training.cutmix, seed)
    tests: TrainingBatches | None = None
    if test is not None:
        tests = LoaderBatches(test, fabric.device, task, channels_last=channels_last)
    elif isinstance(images, Data):
        tests = images.test_batches(channels_last=channels_last)
    return PreparedTraining(loss, images, batches, tests, task, training, fabric)


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
