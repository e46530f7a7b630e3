"""What a run will do, before it does any of it: its images, its networks, its trainings and how long they will take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from unskip.compare.runs import settings_of
from unskip.data import Data, Progress
from unskip.dataflow import num_parameters
from unskip.files import read_json_lines
from unskip.inputs import check_files, check_inputs, file_hash
from unskip.methods import Method, method_from
from unskip.methods.ce import CE
from unskip.nets import StagedNet, num_kept_additions, unknown_shortcuts
from unskip.recipe import Recipe, TrainingRecipe, digest
from unskip.recipe_nets import batches_seed, check_image_size, check_nets, requested_student, requested_teacher
from unskip.run_folder import RunFolder, check_run_folder
from unskip.surgery import residual_blocks
from unskip.tasks import make_task
from unskip.teacher_check import load_images
from unskip.training import describe_numerics, estimate
from unskip.weights import PRETRAINED, load_weights

_FEWEST_PRODUCTS = 5e9  # a second; any machine makes more
_LONGEST_OVERHEAD = 0.05  # seconds of a step that are no arithmetic


@dataclass(frozen=True)
class PlannedTraining:
    """A training that a run still has to do, or has done for a share of 0 to 1.

    ``net`` is the network as it starts, ``seconds`` what is left of it takes, None where nobody asked.
    """

    label: str
    net: StagedNet
    settings: TrainingRecipe
    steps: int
    share_done: float
    seconds: float | None

    @property
    def parameters(self) -> int:
        """Of the network that is trained."""
        return num_parameters(self.net)


@dataclass(frozen=True)
class PlannedRun:
    """Where a run writes, what it reads, its teacher, and the trainings that are left."""

    folder: RunFolder
    data: Data
    teacher: StagedNet
    trainings: tuple[PlannedTraining, ...]


@dataclass(frozen=True)
class _Job:
    """A training as :func:`unskip.training.estimate` takes it."""

    label: str
    method: Method
    teacher: StagedNet | None
    student: StagedNet
    settings: TrainingRecipe


def data_of_run(
    recipe: Recipe, folder: RunFolder, *, device: torch.device | str = "cpu", progress: Progress | None = None
) -> Data:
    """The images, sized for the teacher and normalised as it was trained where its file says so.

    Raises `UnskipError` where there are none, and for a teacher with weights that knows other classes.
    """
    located = recipe.model_copy(update={"data": folder.located(recipe.data)})
    return load_images(located, device=device, progress=progress)


def planned_run(recipe: Recipe, folder: Path, *, progress: Progress | None = None) -> PlannedRun:
    """What `unskip.run_recipe` would do: nothing is trained or written; images that are missing are fetched.

    Raises `UnskipError` for what it would refuse before its first training.
    """
    check_nets(recipe)
    settings_of(recipe.measure).check()
    check_files(recipe)
    opened = check_run_folder(folder, recipe)
    data = data_of_run(recipe, opened, progress=progress)
    check_inputs(opened, recipe, data, write=False)
    check_image_size(recipe, data)
    teacher = requested_teacher(recipe, data)
    if recipe.teacher.weights is not None and recipe.teacher.weights != PRETRAINED:
        load_weights(teacher, Path(recipe.teacher.weights))
    trainings = () if opened.results.exists() else planned_trainings(recipe, data, opened)
    return PlannedRun(opened, data, teacher, tuple(trainings))


def trains_teacher(recipe: Recipe) -> bool:
    """Whether the run trains its teacher, unless it finds it again: without weights, and with labels."""
    return recipe.teacher.weights is None and make_task(**dict(recipe.task)).has_labels


def teacher_home(recipe: Recipe, data: Data, folder: RunFolder, net: StagedNet, *, processes: int) -> Path:
    """Where runs beside this one keep a trained teacher: by the hash of all that decides it.

    That is up to the rounding of another processor or thread count.
    """
    assert net.spec is not None
    initial = recipe.teacher.initial_weights
    training = recipe.training_of("teacher")
    decisive = {
        "unskip": version("unskip"),
        "net": net.spec.to_json(),
        "data": recipe.data.model_dump(mode="json", exclude={"path", "workers", "keep_decoded", "skip_unreadable"}),
        "content": data.fingerprint,
        "normalization": [data.mean, data.std],
        "training": training.model_dump(mode="json", exclude={"checkpoint_minutes", "tensorboard", "snapshots"}),
        "numerics": describe_numerics(training),
        "processes": processes,
        "initial_weights": initial and file_hash(initial),
        "seed": recipe.seed,
    }
    return folder.teachers / digest(decisive)[:16]


def teacher_is_kept(home: Path, training: TrainingRecipe) -> bool:
    """Whether a trained teacher lies in its home, with the snapshots that its training asks for."""
    return all(path.exists() for path in (home / "teacher.safetensors", *kept_snapshots(home, training).values()))


def kept_snapshots(home: Path, training: TrainingRecipe) -> dict[int, Path]:
    """Where the home of a trained teacher has its snapshots, by their epochs."""
    return {epochs: home / "snapshots" / f"epoch-{epochs}.safetensors" for epochs in training.snapshots}


def planned_trainings(
    recipe: Recipe,
    data: Data,
    folder: RunFolder,
    *,
    processes: int = 1,
    unless_shorter: float = 0.0,
    labels: Collection[str] | None = None,
    within: float = 5.0,
) -> list[PlannedTraining]:
    """The trainings that a run has left, in order, each with the seconds that it will take.

    These are measured by a few steps of each (see `unskip.training.duration`), unless all together are certainly
    ``unless_shorter``, in seconds. ``labels`` are the trainings of interest, ``within`` the seconds that each may be
    measured for. Nothing is written, and a run that follows is the same bit by bit. Several processes ask together.
    Raises `UnskipError` for what the run would refuse about its networks.
    """
    jobs = _jobs(recipe, data, folder, processes)
    left = [(job, _done(folder, job)) for job in jobs if labels is None or job.label in labels]
    asks = sum(_at_most(job, data) for job, _ in left) >= unless_shorter
    task = make_task(**dict(recipe.task))
    plan = []
    for job, share_done in left:
        net = job.student if job.teacher is None else job.method.student_of(job.teacher, job.student)
        steps = job.settings.epochs * len(data.train_batches(job.settings.batch_size, 0))
        seconds: float | None = None
        if asks:
            whole = estimate(
                job.teacher,
                data,
                job.method,
                student=job.student,
                training=job.settings,
                task=task,
                seed=batches_seed(recipe, job.label),
                within=within,
            )
            seconds = whole.seconds_left(share_done)
        plan.append(PlannedTraining(job.label, net, job.settings, steps, share_done, seconds))
    return plan


def total_seconds(plan: Sequence[PlannedTraining]) -> float | None:
    """Of all trainings together; None where nobody asked."""
    times = [training.seconds for training in plan]
    return None if None in times else sum(time for time in times if time is not None)


def described(net: StagedNet) -> str:
    """What it is, and which shortcuts it has, in words."""
    source = net.spec.source if net.spec else "network"
    count = len(residual_blocks(net))
    known = f"{source} with {count} shortcut{'s' * (count != 1)}" if count else f"{source} without shortcuts"
    kept, unknown = num_kept_additions(net), unknown_shortcuts(net)
    if kept:
        known += f" but {kept} addition{'s' * (kept != 1)} that stay{'s' * (kept == 1)}"
    return f"{known}; {unknown}" if unknown else known


def _jobs(recipe: Recipe, data: Data, folder: RunFolder, processes: int) -> Iterator[_Job]:
    """What is not trained yet."""
    teacher = requested_teacher(recipe, data)
    if trains_teacher(recipe) and not folder.trained("teacher").exists():
        training = recipe.training_of("teacher")
        if not teacher_is_kept(teacher_home(recipe, data, folder, teacher, processes=processes), training):
            yield _Job("teacher", CE(), None, teacher, training)
    for label, fields in recipe.methods.items():
        if not folder.trained(label).exists():
            student = requested_student(recipe, data, teacher)
            yield _Job(label, method_from(label, fields), teacher, student, recipe.training_of(label))


def _done(folder: RunFolder, job: _Job) -> float:
    """The share of its epochs that an interrupted training has behind it."""
    if not folder.checkpoint(job.label).exists():
        return 0.0
    epochs = sum(row["net"] == job.label for row in read_json_lines(folder.metrics))
    return min(epochs / job.settings.epochs, 1.0)


def _at_most(job: _Job, data: Data) -> float:
    """More seconds than a training takes anywhere, without looking: as if every weight met every pixel."""
    _, height, width = data.image_shape
    images = job.settings.epochs * data.num_train
    weights = 3 * num_parameters(job.student) + (0 if job.teacher is None else num_parameters(job.teacher))
    steps = images / min(job.settings.batch_size, data.num_train)
    return weights * height * width * images / _FEWEST_PRODUCTS + steps * _LONGEST_OVERHEAD
