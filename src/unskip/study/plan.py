"""What a study will do, before it does any of it: its trainings, those that runs share, and how long they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from unskip.data import Data
from unskip.errors import UnskipError
from unskip.files import read_json_lines
from unskip.recipe import Recipe, digest
from unskip.run_folder import RunFolder
from unskip.run_plan import data_of_run, planned_trainings
from unskip.study.cells import Cell, decisive
from unskip.study.folder import StudyFolder
from unskip.study.running import teacher_key
from unskip.weights import PRETRAINED

_MEASURING = 60.0  # seconds that all kinds of trainings together are measured for
_LONGEST = 5.0  # of one kind
_NOWHERE = RunFolder(Path("nowhere-of-unskip") / "run")  # nothing is done there

Measured = Callable[[int, int], None]


@dataclass
class Training:
    """A training of a study: the first cell that needs it, how many do, and the share of it that is done.

    ``seconds`` is what is left of it takes, None where nobody asked or ``problem`` says why nobody can tell; with
    ``without_images`` its images cannot be read.
    """

    label: str
    cell: Cell
    users: int = 1
    share_done: float = 0.0
    seconds: float | None = None
    problem: str = ""
    without_images: bool = False


@dataclass(frozen=True)
class Plan:
    """The cells of a study by how far they are, and its trainings."""

    states: Counter[str]
    trainings: tuple[Training, ...]

    @property
    def left(self) -> list[Training]:
        """What is not done."""
        return [training for training in self.trainings if training.share_done < 1]

    def check_images(self) -> None:
        """Raise `UnskipError` where no training that is left has images, as far as that was looked at."""
        if self.left and all(training.without_images for training in self.left):
            raise UnskipError(f"no cell has its images; of the first, {self.left[0].problem}")

    @property
    def seconds(self) -> float | None:
        """Of all trainings that are left, one after the other; None where it is not known of each."""
        times = [training.seconds for training in self.left]
        return None if None in times else sum(time for time in times if time is not None)

    def seconds_of(self, cell: Cell) -> float | None:
        """Of those trainings that are a cell's own, or that it is the first to need."""
        times = [training.seconds for training in self.left if training.cell.folder == cell.folder]
        return None if None in times else sum(time for time in times if time is not None)

    def seconds_with(self, jobs: int) -> float | None:
        """Of all with so many cells at once, none of which is divided."""
        total = self.seconds
        if total is None:
            return None
        of_cells = {training.cell.folder: self.seconds_of(training.cell) or 0.0 for training in self.left}
        return max(total / jobs, max(of_cells.values(), default=0.0))


def plan_study(cells: Sequence[Cell], folder: StudyFolder) -> Plan:
    """The trainings of some cells, and how far they are; nothing is measured."""
    trainings: dict[tuple[str, str], Training] = {}
    for cell in cells:
        teacher = teacher_key(cell)
        keys = [*([] if teacher is None else [("teacher", teacher)]), *((m, cell.folder) for m in cell.recipe.methods)]
        for key in keys:
            share_done = _done(folder, cell, key[0])
            if key in trainings:
                trainings[key].users += 1
                trainings[key].share_done = max(trainings[key].share_done, share_done)
            else:
                trainings[key] = Training(key[0], cell, share_done=share_done)
    return Plan(Counter(folder.state(cell) for cell in cells), tuple(trainings.values()))


def measure(plan: Plan, folder: StudyFolder, *, threads: int | None = None, measured: Measured | None = None) -> None:
    """Say of each training that is left how long it takes, by a few steps of each kind on this machine.

    A kind is what differs in more than its seed. ``threads`` compute, by default as many as there are cores.
    ``measured`` is told how many kinds are done, of how many. Nothing is written.
    """
    kinds: dict[str, list[Training]] = {}
    for training in plan.left:
        kinds.setdefault(_kind(training), []).append(training)
    within = min(_LONGEST, _MEASURING / max(1, len(kinds)))
    images = _Images(folder)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        for number, same in enumerate(kinds.values()):
            if measured is not None:
                measured(number, len(kinds))
            whole: float | None = None
            problem, recipe = "", _without_missing_files(same[0].cell.recipe)
            data = images.of(same[0].cell, recipe)
            try:
                if isinstance(data, UnskipError):
                    raise data
                whole = _seconds(same[0], recipe, data, within)
            except UnskipError as error:
                problem = f"{same[0].cell.label}: {error}"
            for training in same:
                training.seconds = None if whole is None else (1 - training.share_done) * whole
                training.problem, training.without_images = problem, isinstance(data, UnskipError)
    finally:
        torch.set_num_threads(before)


@dataclass
class _Images:
    """The images of cells, read once for all that have the same, or why they cannot be read."""

    folder: StudyFolder
    _read: dict[str, Data | UnskipError] = field(default_factory=dict)

    def of(self, cell: Cell, recipe: Recipe) -> Data | UnskipError:
        teacher = recipe.teacher.model_dump(mode="json", exclude={"training", "edits"})
        key = digest([recipe.data.model_dump(mode="json"), teacher, dict(recipe.task)])
        if key not in self._read:
            try:
                self._read[key] = data_of_run(recipe, self.folder.run(cell))
            except UnskipError as error:
                self._read[key] = error
        return self._read[key]


def _seconds(training: Training, recipe: Recipe, data: Data, within: float) -> float:
    (planned,) = planned_trainings(recipe, data, _NOWHERE, labels=[training.label], within=within)
    assert planned.seconds is not None
    return planned.seconds


def _without_missing_files(recipe: Recipe) -> Recipe:
    """The recipe with fresh weights where those of a run before it are not there yet: steps take as long."""

    def there(path: str | None) -> str | None:
        return path if path is None or path == PRETRAINED or Path(path).is_file() else None

    teacher, student = recipe.teacher, recipe.student
    files = {"weights": there(teacher.weights), "initial_weights": there(teacher.initial_weights)}
    student_file = {"initial_weights": there(student.initial_weights)}
    return recipe.model_copy(
        update={"teacher": teacher.model_copy(update=files), "student": student.model_copy(update=student_file)}
    )


def _kind(training: Training) -> str:
    """What trainings that take equally long have in common."""
    recipe = decisive(training.cell.recipe)
    methods = recipe.pop("methods")
    for key in ("seed", "measure"):
        del recipe[key]
    if training.label == "teacher":
        del recipe["student"]
        recipe["training"] = training.cell.recipe.training_of("teacher").model_dump(mode="json")
    for section in ("teacher", "student"):
        for key in ("weights", "initial_weights"):
            recipe.get(section, {}).pop(key, None)  # of each seed its own
    return digest([training.label == "teacher", recipe, methods.get(training.label)])


def _done(folder: StudyFolder, cell: Cell, label: str) -> float:
    """The share of its epochs that a training has behind it in a cell's folder."""
    run = folder.run(cell)
    if run.results.exists() or run.trained(label).exists():
        return 1.0
    if not run.checkpoint(label).exists():
        return 0.0
    settings = cell.recipe.training_of(label)
    epochs = sum(row.get("net") == label for row in read_json_lines(run.metrics))
    return min(epochs / settings.epochs, 0.999)


def kinds_of(plan: Plan) -> Iterator[tuple[str, list[Training]]]:
    """The trainings by their labels, in the order in which they first stand."""
    labels: dict[str, list[Any]] = {}
    for training in plan.trainings:
        labels.setdefault(training.label, []).append(training)
    yield from labels.items()
