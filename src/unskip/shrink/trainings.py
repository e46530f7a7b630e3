"""One training of a trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from unskip.data import Data
from unskip.evaluation import evaluate
from unskip.files import parse_json, write_json
from unskip.methods import Method, method_from
from unskip.methods.ce import CE
from unskip.nets import StagedNet
from unskip.recipe import Recipe, TrainingRecipe
from unskip.recipe_nets import batches_seed, requested_student
from unskip.shrink.candidates import STUDENT
from unskip.shrink.lengths import Length
from unskip.tasks import Task
from unskip.training import Checkpoint, ImagesOf, Monitor, train_student
from unskip.training.duration import estimate
from unskip.weights import load_net, save_net

_TIMED_SECONDS = 5.0


@dataclass(frozen=True)
class TrainingResult:
    """A network as its training left it, its score, and the seconds and steps that it took.

    What its method did before the first step counts as the steps that take as long.
    """

    net: StagedNet
    score: float
    seconds: float
    steps: float


def train_trial(
    label: str, recipe: Recipe, teacher: StagedNet, data: Data, task: Task, file: Path, console: Console
) -> TrainingResult:
    """Train the student of a recipe on ``data`` and keep it in ``file``, or find it there.

    It is scored on the test images of ``data``; an interrupted training goes on.
    """
    method = method_from(STUDENT, recipe.methods[STUDENT])
    student = requested_student(recipe, data, teacher)
    return _trained(label, student, method, teacher, recipe.training, recipe, data, task, file, console)


def train_teacher(
    net: StagedNet, recipe: Recipe, length: Length, data: Data, task: Task, file: Path, console: Console
) -> TrainingResult:
    """Train a network on the labels for so many epochs and keep it in ``file``, or find it there."""
    training = recipe.training_of("teacher").model_copy(update={"epochs": length.epochs})
    return _trained("teacher", net, CE(), None, training, recipe, data, task, file, console)


def _trained(
    label: str,
    student: StagedNet,
    method: Method,
    teacher: StagedNet | None,
    training: TrainingRecipe,
    recipe: Recipe,
    data: Data,
    task: Task,
    file: Path,
    console: Console,
) -> TrainingResult:
    facts = file.with_suffix(".json")
    seed = batches_seed(recipe, label)
    batches = data.train_batches(training.batch_size, seed)
    if not (file.is_file() and facts.is_file()):
        checkpoint = Checkpoint(file.with_suffix(".ckpt"))
        started = time.monotonic()
        loss, history = train_student(
            teacher,
            data,
            method,
            student=student,
            training=training.model_copy(update={"validate_every": training.epochs}),
            task=task,
            seed=seed,
            monitor=Monitor(label, console),
            checkpoint=checkpoint,
        )
        (net,) = method.deployables(loss.student, ImagesOf(batches)).values()
        score = evaluate(net, data.test_batches().epoch(0), task).value
        net.cpu()
        save_net(net, file, data.info)
        seconds = max(history[-1]["seconds"], time.monotonic() - started)
        steps = training.epochs * len(batches) + method.images_to_prepare(data.num_train) / training.batch_size
        write_json(facts, {"score": score, "seconds": seconds, "steps": steps})
        checkpoint.remove()
    known = parse_json(facts.read_bytes(), str(facts))
    return TrainingResult(load_net(file)[0], known["score"], known["seconds"], known["steps"])


def seconds_per_step(recipe: Recipe, teacher: StagedNet, data: Data, task: Task) -> float:
    """What a step of the training of a recipe's student takes here, in seconds, by a few real ones."""
    method = method_from(STUDENT, recipe.methods[STUDENT])
    student = requested_student(recipe, data, teacher)
    return estimate(
        teacher, data, method, student=student, training=recipe.training, task=task, within=_TIMED_SECONDS
    ).seconds_per_step


def seconds_per_teacher_step(net: StagedNet, recipe: Recipe, data: Data, task: Task) -> float:
    """What a step of the teacher's training takes here, in seconds, by a few real ones."""
    training = recipe.training_of("teacher")
    return estimate(None, data, CE(), student=net, training=training, task=task, within=_TIMED_SECONDS).seconds_per_step
