"""Train one network with one method on one data set: what the command line and Python users call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console

from unskip.data import Data
from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.methods.base import Method, Phase
from unskip.nets import StagedNet
from unskip.recipe import TrainingRecipe
from unskip.tasks import Classification, Task
from unskip.training.can_learn import check_batch, check_can_learn, first_obstacle, num_images_to_look_at
from unskip.training.checkpoint import Checkpoint
from unskip.training.device import make_fabric, place, uses_channels_last
from unskip.training.fit import fit
from unskip.training.monitor import Monitor

__all__ = ["train"]


def train(
    net: StagedNet,
    data: Data,
    *,
    method: Method,
    teacher: StagedNet | None = None,
    training: TrainingRecipe | None = None,
    task: Task | None = None,
    seed: int = 0,
    fabric: Fabric | None = None,
    monitor: Monitor | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, Any]]:
    """Train ``net`` in place with a method and return a record of every epoch (see `unskip.training.fit.fit`).

    The teacher is not changed. Raises `UnskipError` when the method needs a teacher and there is none, when network and
    data do not fit, when the network cannot learn (see `unskip.training.can_learn`; it is looked at once, not when a
    training goes on), or when the loss is no longer finite.
    """
    training, task = training or TrainingRecipe(), task or Classification()
    fabric = fabric or make_fabric(training)
    if teacher is None and method.needs_teacher:
        raise UnskipError(f"the method {method.name} needs a teacher")
    for name, given in (("network", net), ("teacher", teacher)):
        if given is not None:
            _check_classes(given, data, name)
    place(net, fabric, training)
    if teacher is not None:
        place(teacher, fabric, training)
    channels_last = uses_channels_last(training)
    batches = data.train_batches(
        training.batch_size,
        seed,
        channels_last=channels_last,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    test = data.test_batches(512, channels_last=channels_last)

    def validate() -> float:
        with fabric.autocast():
            return evaluate(net, test.epoch(0), task).value

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for layers that only the training has
        phases = method.phases(teacher or net, net, training.epochs, task)
    if checkpoint is None or not checkpoint.exists():
        _check_start(net, phases, data, training, fabric)
        obstacle = first_obstacle(net)
        if obstacle is not None and monitor is not None and fabric.is_global_zero:
            monitor.console.print(
                f"{monitor.label}: {obstacle} is at most 0.001 and lets next to nothing pass yet; it has to grow while "
                "the shortcuts fade, so let them fade in more steps where the network stays behind",
                highlight=False,
            )
    with monitor or Monitor(method.name, Console(quiet=True)) as shown:
        return fit(
            phases,
            batches,
            fabric=fabric,
            settings=training,
            seed=seed,
            validate=validate,
            monitor=shown,
            checkpoint=checkpoint,
            data=_identity(data) if checkpoint else None,
        )


def _check_start(net: StagedNet, phases: Sequence[Phase], data: Data, training: TrainingRecipe, fabric: Fabric) -> None:
    """Raise `UnskipError`, in all processes alike, for a network that cannot learn or a batch too small for it.

    The first process looks; its share of a batch is the smallest.
    """
    found = ""
    if fabric.is_global_zero:
        share = min(training.batch_size, data.num_train) // fabric.world_size
        try:
            if share == 1:
                check_batch(phases, data.train_images(1, 0))
            check_can_learn(net, data.train_images(num_images_to_look_at(data.image_shape), 0))
        except UnskipError as error:
            found = str(error)
    found = fabric.broadcast(found)
    if found:
        raise UnskipError(found)


def _identity(data: Data) -> dict[str, Any]:
    """What a training that goes on must find again."""
    return {"fingerprint": data.fingerprint, "mean": list(data.mean), "std": list(data.std)}


def _check_classes(net: StagedNet, data: Data, name: str) -> None:
    """Raise `UnskipError` when a network has another number of classes, or of image channels, than the data."""
    options = net.spec.options if net.spec else {}
    for option, found in (("num_classes", len(data.classes)), ("in_channels", data.image_shape[0])):
        if found and option in options and options[option] != found:
            raise UnskipError(f"the {name} has {option} = {options[option]}, but {data.name} needs {found}")
