"""The first look: images, and the teacher, which is trained here if nobody has."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from unskip.data import Data
from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.inputs import file_hash
from unskip.nets import StagedNet
from unskip.recipe import Recipe, digest
from unskip.recipe_nets import check_image_size, requested_teacher
from unskip.search import BudgetAnswer
from unskip.shrink.lengths import PRESETS, Length, length_for
from unskip.shrink.shrink_request import Request
from unskip.shrink.trainings import seconds_per_teacher_step, train_teacher
from unskip.tasks import Score, Task, make_task
from unskip.teacher_check import load_images, look_at_teacher
from unskip.training import make_fabric
from unskip.weights import load_initial_weights, load_weights

_TEACHER_SHARE = 0.35  # of the time, where the network is to be trained first
_TEACHER_EPOCHS = 2  # as many times as many epochs as the winner's, where no time is given
_FEWEST_BATCHES = 4  # in an epoch


@dataclass(frozen=True)
class FirstLook:
    """What there is to begin with: the request's ``recipe`` with the teacher's weights, and an evaluation's seconds.

    The recipe says how images are normalised, and of which size they are. ``inputs`` is a hash of the images and of the
    teacher's weights. ``trained``: the teacher has weights. ``answer`` has the students that meet the budget where they
    were looked for already.
    """

    recipe: Recipe
    data: Data
    task: Task
    teacher: StagedNet
    score: Score
    evaluation_seconds: float
    inputs: str
    trained: bool = True
    answer: BudgetAnswer | None = None

    def data_of(self, input_shape: tuple[int, int, int]) -> Data:
        """The images, of another size maybe."""
        if input_shape == self.data.image_shape:
            return self.data
        sized = self.recipe.data.model_copy(update={"image_size": input_shape[1:]})
        device = make_fabric(self.recipe.training).device
        return load_images(self.recipe.model_copy(update={"data": sized}), device=device)


def look(
    request: Request,
    *,
    file: Path | None,
    length_of: Callable[[str, Callable[[], Length]], Length],
    search: Callable[[StagedNet, tuple[int, int, int]], BudgetAnswer],
    console: Console,
    say: Callable[[str], None],
) -> FirstLook:
    """Read the images, and load or train the teacher and evaluate it.

    Without weights it is trained and kept in ``file``, or stays as it is made where that is None, and where ``search``
    finds that nothing meets the budget. ``length_of`` keeps how long trainings are. Raises `UnskipError` for images or
    weights that cannot be used, and for a teacher from whom nobody should learn.
    """
    recipe, device = request.recipe, make_fabric(request.recipe.training).device
    say("reading the images")
    data = load_images(recipe, device=device, progress=lambda what, done, of: say(f"{what}: {done:,} of {of:,}"))
    if not data.classes:
        raise UnskipError("a network is shrunk by its accuracy, which needs images with labels")
    recipe = _with_batches_for(recipe, data, console)
    check_image_size(recipe, data)
    task = make_task(**dict(recipe.task))
    teacher = requested_teacher(recipe, data)
    section = recipe.teacher
    trained, answer = True, None
    if section.weights is not None:
        load_weights(teacher, Path(section.weights))
    else:
        if section.initial_weights is not None:
            load_initial_weights(teacher, Path(section.initial_weights))
        if file is None or not file.is_file():
            answer = search(teacher, data.image_shape)
        trained = file is not None and (answer is None or answer.fits)
        if file is not None and trained:
            teacher, recipe = _trained_teacher(teacher, recipe, request, data, task, file, length_of, console)
    teacher.eval().to(device)
    started = time.monotonic()
    if trained:
        score = look_at_teacher(
            teacher, data, request.recipe, epochs=recipe.training_of("teacher").epochs, say=_printed_to(console)
        )
    else:
        score = evaluate(teacher, data.test_batches().epoch(0), task)
    seconds = time.monotonic() - started
    normalization = {"mean": data.mean, "std": data.std}
    given = recipe.teacher.model_copy(update={"normalization": normalization})
    sized = recipe.data.model_copy(update={"image_size": data.image_shape[1:]})
    recipe = recipe.model_copy(update={"teacher": given, "data": sized})
    inputs = digest([data.fingerprint, recipe.teacher.weights and file_hash(recipe.teacher.weights)])
    return FirstLook(recipe, data, task.with_teacher(teacher), teacher.cpu(), score, seconds, inputs, trained, answer)


def _printed_to(console: Console) -> Callable[[str], None]:
    """Prints lines as they are."""
    return lambda text: console.print(text, highlight=False)


def _trained_teacher(
    net: StagedNet,
    recipe: Recipe,
    request: Request,
    data: Data,
    task: Task,
    file: Path,
    length_of: Callable[[str, Callable[[], Length]], Length],
    console: Console,
) -> tuple[StagedNet, Recipe]:
    """The network trained on the labels, and the recipe that takes it as the teacher."""
    batch = recipe.training.batch_size

    def length() -> Length:
        if request.seconds is None:
            return Length(_TEACHER_EPOCHS * PRESETS[request.preset].winner(data.num_train, batch).epochs, 1.0)
        step = seconds_per_teacher_step(net, recipe, data, task)
        return length_for(_TEACHER_SHARE * request.seconds, step, data.num_train, batch)

    chosen = length_of("teacher", length)
    console.print(f"teacher: trained first, since it has no weights, {chosen}", highlight=False)
    part = data if chosen.share == 1 else data.with_training_share(chosen.share)
    trained = train_teacher(net, recipe, chosen, part, task, file, console)
    given = recipe.teacher.model_copy(update={"weights": str(file), "initial_weights": None})
    return trained.net, recipe.model_copy(update={"teacher": given})


def _with_batches_for(recipe: Recipe, data: Data, console: Console) -> Recipe:
    """The recipe with batches of which an epoch has several."""
    most = max(2, data.num_train // (2 * _FEWEST_BATCHES))
    if recipe.training.batch_size <= most:
        return recipe
    console.print(f"batches of {most} images, since there are {data.num_train} to train on", highlight=False)
    smaller = {"batch_size": most}
    own = recipe.teacher.training
    teacher = recipe.teacher.model_copy(update={"training": own and own.model_copy(update=smaller)})
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=smaller), "teacher": teacher})
