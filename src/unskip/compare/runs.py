"""What a run's networks became, side by side: its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Literal

import torch

from unskip.compare.answers import compare_answers
from unskip.compare.files import Exports
from unskip.compare.settings import Settings
from unskip.compare.targets import Target
from unskip.compare.test_sets import TestSet
from unskip.compare.workbench import Workbench
from unskip.data import Data
from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.nets import StagedNet
from unskip.recipe import MeasureRecipe, Recipe
from unskip.records import Answers, Comparison, Load, Net, Run
from unskip.records import Data as DataRecord
from unskip.run_folder import RunFolder
from unskip.tasks import Classification, Score, Task


@dataclass
class TrainedNet:
    """A network that is ready to be exported and measured.

    ``training`` is the label of the training that it comes out of, by default its own: several networks may share one,
    and the first of them is the one that was validated meanwhile. ``score``: where it was evaluated already.
    """

    label: str
    role: Literal["teacher", "student"]
    net: StagedNet
    method: str | None
    history: list[dict[str, Any]]
    reused: bool = False
    training: str = ""
    score: Score | None = None

    def __post_init__(self) -> None:
        self.training = self.training or self.label


def results_of(
    nets: Sequence[TrainedNet],
    recipe: Recipe,
    data: Data,
    task: Task,
    folder: RunFolder,
    *,
    device: torch.device,
    say: Callable[[str], None],
    started: float,
    load: Load,
    files: bool = True,
) -> Run:
    """Evaluate all networks, the teacher first among them, export them into the run's folder, and measure the files.

    Without ``files``, as long as more networks are to come, nothing is exported and only the networks are measured.
    The best student is the one with the highest score after its last epoch. ``started`` is the run's start as a Unix
    time, ``load`` how busy the machine was then. Raises `UnskipError` where a file cannot be written, proved or run.
    """
    for trained in nets:
        # A training may have left it channels-last, and one that was resumed has not: equal runs, equal figures.
        trained.net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if trained.score is None:
            say(f"{trained.label}: evaluating")
            trained.score = evaluate(trained.net.to(device), data.test_batches().epoch(0), task)
        trained.net.cpu()
    scores = {trained.label: trained.score for trained in nets if trained.score is not None}
    best = max((trained.label for trained in nets if trained.role == "student"), key=lambda label: scores[label].value)
    return Run.model_validate(
        {
            "unskip": version("unskip"),
            "title": recipe.title or f"{recipe.teacher.net} on {data.name}",
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "task": task.name,
            "metric": task.metric,
            "best": best,
            "seed": recipe.seed,
            "data": record_of_data(data, recipe, scores[nets[0].label].chance),
            "nets": [
                Net(
                    label=trained.label,
                    role=trained.role,
                    method=trained.method,
                    training=trained.training,
                    epochs=len(trained.history),
                    seconds=trained.history[-1]["seconds"] if trained.history else None,
                    reused=trained.reused,
                )
                for trained in nets
            ],
            "history": {trained.training: trained.history for trained in nets},
            "comparison": _compared(nets, recipe, TestSet(data, task), folder, say, load, files),
            "answers": _answers(nets, best, data, task, device) if files else None,
            "recipe": recipe.model_dump(mode="json"),
            "seconds": time.time() - started,
        }
    )


def _answers(nets: Sequence[TrainedNet], best: str, data: Data, task: Task, device: torch.device) -> Answers | None:
    """Where the best student answers otherwise than the teacher, image by image; the networks end where they were."""
    if not (data.classes and isinstance(task, Classification)):
        return None
    teacher, student = (next(each.net for each in nets if each.label == label) for label in (nets[0].label, best))
    try:
        return compare_answers(teacher.to(device), student.to(device), data)
    finally:
        for net in (teacher, student):
            net.cpu()


def record_of_data(data: Data, recipe: Recipe, chance: float | None) -> DataRecord:
    """The images of a recipe as records have them; ``chance`` is that of an answer without a look at them."""
    return DataRecord(
        name=data.name,
        path=recipe.data.path,
        num_train=data.num_train,
        num_test=data.num_test,
        classes=data.classes,
        image_shape=data.image_shape,
        fingerprint=data.fingerprint,
        chance=chance,
    )


def _compared(
    nets: Sequence[TrainedNet],
    recipe: Recipe,
    tests: TestSet,
    folder: RunFolder,
    say: Callable[[str], None],
    load: Load,
    with_files: bool,
) -> Comparison:
    """Files that take images scaled to 0..1 in any batch, and what they are measured by in the recipe's setting."""
    exports = Exports(
        folder.path,
        lambda label, batch_size, ending: folder.exported(label, ending),
        images=recipe.measure.parity_images,
        normalizes=True,
        any_batch=True,
        metadata={"recipe": recipe.digest()},
    )
    shape, info = tests.data.image_shape, tests.data.info
    targets = [Target(each.net, shape, score=each.score, label=each.label, kind="run", info=info) for each in nets]
    settings = settings_of(recipe.measure)
    with Workbench(settings, exports=exports, test_set=lambda target: tests, say=say, load=load) as workbench:
        comparison = workbench.measure(targets, files=with_files)
    for cell in comparison.groups[0].cells:
        if cell.refused is not None:
            raise UnskipError(cell.refused)
    return comparison


def settings_of(measure: MeasureRecipe) -> Settings:
    """The setting that a recipe asks for."""
    return Settings(
        runtimes=(measure.runtime,),
        threads=(measure.threads,),
        batch_sizes=(measure.batch_size,),
        repeats=measure.repeats,
        timed=measure.latency,
        quick=True,
    )
