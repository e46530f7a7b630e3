"""A teacher is looked at before anybody learns from it: how good it is, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unskip.chance import chance_limit, tells_chance
from unskip.data import Data, Normalization, Progress, load_data, named_normalization
from unskip.deploying import check_classes
from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.methods import method_from
from unskip.nets import StagedNet, find_net
from unskip.recipe import Recipe
from unskip.records import Run
from unskip.tasks import Score, make_task
from unskip.teacher_causes import examine
from unskip.weights import PRETRAINED, read_data_info

_KEPT = 0.75  # of the accuracy above chance that a file states; other test images, such as JPEG's, may cost the rest
_NEAR = 0.1  # of what can be gained over chance: who is given a teacher below that is given the wrong one
_STATED = (
    *("best_prec1", "best_acc1", "best_top1", "best_acc", "best_accuracy", "prec1", "acc1", "top1", "acc"),
    *("accuracy", "test_acc", "val_acc"),
)


def load_images(recipe: Recipe, *, device: torch.device | str, progress: Progress | None = None) -> Data:
    """The images of a recipe, sized for its teacher and normalised as it was trained where its file says so.

    Raises `UnskipError` for images that cannot be used, and where they are not of the classes that the teacher knows.
    """
    weights = recipe.teacher.weights or recipe.teacher.initial_weights
    data_info = read_data_info(Path(weights)) if weights is not None else None
    entry = find_net(recipe.teacher.net)
    expected: Any = entry.published if weights == PRETRAINED else data_info
    normalization = recipe.teacher.normalization
    data = load_data(
        recipe.data,
        labelled=make_task(**dict(recipe.task)).has_labels,
        device=device,
        default_size=entry.image_size,
        normalization=Normalization(expected.mean, expected.std) if expected and normalization is None else None,
        progress=progress,
    )
    data = _normalized(data, normalization)
    if recipe.teacher.weights is not None and data_info is not None and data_info.classes and data.classes:
        check_classes(data, data_info.classes, f"the teacher in {weights}")
    return data


def _normalized(data: Data, setting: str | dict[str, tuple[float, ...]] | None) -> Data:
    """The images as ``teacher.normalization`` asks for them; `UnskipError` where it is of other channels."""
    if setting is None or setting == "data":
        return data
    channels = data.image_shape[0]
    normalization = named_normalization(setting, channels) if isinstance(setting, str) else Normalization(**setting)
    try:
        return data.normalized(normalization)
    except UnskipError as error:
        raise UnskipError(f"teacher.normalization: {error}") from error


def look_at_teacher(net: StagedNet, data: Data, recipe: Recipe, *, epochs: int, say: Callable[[str], None]) -> Score:
    """Evaluate and print a teacher, in eval mode on the images' device, that was given or trained for ``epochs``.

    Raises `UnskipError`, with the likely cause, for one that nobody should learn from, unless the recipe goes on all
    the same or no method of it learns from a teacher; then it is only said. Without labels nobody can tell.
    """
    section = recipe.teacher
    task = make_task(**dict(recipe.task)).with_teacher(net)
    score = evaluate(net, data.test_batches().epoch(0), task)
    if not task.has_labels:
        return score
    metric = score.metric.replace("top", "top-")
    accuracy = f"{100 * score.value:.2f} % {metric} on {score.images:,} test images"
    say(f"teacher: {accuracy}")
    if section.weights is None:
        weak = weakness(score)
        length = f"{epochs} epoch{'s' * (epochs != 1)}"
        cause = f"its training, {length}, was too short or failed; see its loss and training.epochs, teacher.training"
    else:
        weak, cause = _given_teacher(net, data, recipe, score)
    if weak is None:
        if section.weights and cause:
            say(f"teacher: {cause}")
        few = not tells_chance(score.images)
        if (
            section.weights
            and few
            and score.chance is not None
            and score.value <= chance_limit(score.chance, score.images)
        ):
            always = f"{100 * score.chance:.1f} %"
            say(
                f"teacher: {score.images} test images cannot tell whether it knows more than the most frequent class, "
                f"whose share is {always}; if it should, look at its normalisation and at the size of the images"
            )
        elif section.weights and few and not _normalization_is_known(recipe):
            say(
                f"teacher: images are normalised by their own mean and deviation, which {score.images} test images are "
                "too few to question; where it was trained with other ones, name them with `teacher.normalization`, "
                "such as imagenet"
            )
        if score.chance is not None and score.at_chance:
            limit = f"{100 * score.chance:.1f} %"
            say(f"teacher: within noise of chance ({limit}), and so will be who learns from it")
        return score
    learns = any(method_from(label, fields).needs_teacher for label, fields in recipe.methods.items())
    if learns and not section.accept_weak:
        raise UnskipError(
            f"the teacher has {accuracy}, and {weak}, so nobody should learn from it; {cause}; "
            "`teacher.accept_weak=true` goes on all the same"
        )
    say(f"teacher: {weak}; {cause}")
    return score


def _given_teacher(net: StagedNet, data: Data, recipe: Recipe, score: Score) -> tuple[str | None, str]:
    """What makes it worthless, or None, and what explains it, or may be better."""
    weights = recipe.teacher.weights
    assert weights is not None
    file = None if weights == PRETRAINED else Path(weights)
    weak = weakness(score, trained_elsewhere=True, stated=None if file is None else stated_accuracy(file))
    known = recipe.teacher.normalization is None and _normalization_is_known(recipe)
    if not tells_chance(score.images) or (weak is None and known):
        return None, ""
    finding = examine(net, data, thoroughly=weak is not None)
    guessed = 1 / len(data.classes)  # what is tried on has as many images of every class
    if weak is None and finding.cause and finding.now < guessed + _KEPT * (finding.then - guessed):
        weak = "it would be far better if its images or answers were taken otherwise"
    return weak, str(finding) if weak or finding.cause else ""


def _normalization_is_known(recipe: Recipe) -> bool:
    """Whether the recipe or the teacher's file says how its images were normalised."""
    weights = recipe.teacher.weights
    if recipe.teacher.normalization is not None or weights in (None, PRETRAINED):
        return True
    return read_data_info(Path(weights)) is not None


def weakness(score: Score, *, trained_elsewhere: bool = False, stated: float | None = None) -> str | None:
    """What makes a teacher worthless, in words, or None.

    It is no better than an answer without a look at the image; if it was ``trained_elsewhere``, it is near
    that, or far below the share of right answers that its file states. With fewer than 100 test images nothing can be
    told.
    """
    top1, chance, images = score.value, score.chance, score.images
    if chance is None or not tells_chance(images):
        return None
    guessing = f"always naming the most frequent class gives {100 * chance:.1f} %"
    if top1 <= chance or (trained_elsewhere and score.at_chance):
        return f"it is at chance ({guessing})"
    if trained_elsewhere and top1 - chance <= min(chance, _NEAR * (1 - chance)):
        return f"it is near chance ({guessing})"
    noise = chance_limit(top1, images) - top1
    if trained_elsewhere and stated is not None and top1 + noise < chance + _KEPT * (stated - chance):
        return f"its file states {100 * stated:.1f} %"
    return None


def stated_accuracy(path: Path) -> float | None:
    """The top-1, as a share, that a weights file states: under a usual key of a checkpoint, or in its run's results."""
    try:
        if path.suffix == ".safetensors":
            run = Run.read(path.resolve().parent.parent)
            scores = {net.label: run.score(net) for net in run.nets}
            accuracy = scores.get(path.stem) if path.parent.name == "nets" else None
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
            accuracy = next((loaded[key] for key in _STATED if key in loaded), None)
        if accuracy is None or isinstance(accuracy, bool):
            return None
        value = float(accuracy)
    except Exception:  # it is a hint; whether the file can be used is said where it is loaded
        return None
    share = value / 100 if value > 1 else value
    return share if 0 < share <= 1 else None
