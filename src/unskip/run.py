"""From a recipe to a run folder: data, teacher, students, exported files, measures, report."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console

from unskip.compare import TrainedNet, machine_load, results_of
from unskip.compare.runs import settings_of
from unskip.errors import UnskipError
from unskip.files import write_bytes, write_json
from unskip.inputs import check_files, check_inputs
from unskip.methods import Method, method_from
from unskip.methods.ce import CE
from unskip.nets import StagedNet
from unskip.recipe import Recipe, TrainingRecipe
from unskip.recipe_nets import (
    batches_seed,
    check_image_size,
    check_nets,
    requested_student,
    requested_teacher,
    seed_for,
)
from unskip.records import Load, Run
from unskip.report import write_report, write_report_so_far
from unskip.run_folder import RunFolder, only_process, open_run_folder
from unskip.run_plan import (
    data_of_run,
    described,
    kept_snapshots,
    planned_trainings,
    teacher_home,
    teacher_is_kept,
    total_seconds,
    trains_teacher,
)
from unskip.tasks import make_task
from unskip.teacher_check import look_at_teacher
from unskip.training import (
    Checkpoint,
    ImagesOf,
    Monitor,
    OnEpoch,
    can_synchronize,
    make_fabric,
    train_student,
)
from unskip.units import duration
from unskip.weights import load_initial_weights, load_net, load_weights, save_net

_LONG = 60.0  # seconds of training that are worth an announcement
_WORTH_A_REPORT = 10.0  # seconds of training after which a report before the end is worth the second that it takes


def run_recipe(
    recipe: Recipe, folder: str | Path, *, console: Console | None = None, on_epoch: OnEpoch | None = None
) -> Run:
    """Do all that a recipe says, or what is left of it, and return the results, which ``run.json`` then holds.

    Interrupted at any instant, the same call goes on where it stopped and ends with the same weights, bit by bit, on
    the same machine. ``on_epoch`` is called after every epoch of every training with what a line of ``metrics.jsonl``
    says; see `unskip.distill`. Raises `UnskipError` for anything in the recipe or the data that cannot be used.
    """
    folder = Path(folder)
    check_nets(recipe)
    fabric = make_fabric(recipe.training)  # it may stand for several processes, of which one writes
    if not fabric.is_global_zero:
        fabric.barrier()
        return _Run(recipe, RunFolder(folder), fabric, Console(quiet=True)).complete()
    with only_process(folder):
        opened = open_run_folder(folder, recipe)
        fabric.barrier()
        return _Run(recipe, opened, fabric, console or Console(quiet=True), on_epoch).complete()


class _Run:
    def __init__(
        self, recipe: Recipe, folder: RunFolder, fabric: Fabric, console: Console, on_epoch: OnEpoch | None = None
    ) -> None:
        self.recipe = recipe
        self.task = make_task(**dict(recipe.task))
        self.folder = folder
        self.fabric = fabric
        self.console = console
        self.on_epoch = on_epoch

    def complete(self) -> Run:
        leader = self.fabric.is_global_zero
        if not self.folder.results.exists():
            results = self._results()
            if results is not None:
                write_json(self.folder.results, results.model_dump(mode="json"))
        elif leader and self.folder.load_results():
            self._say(f"{self.folder.path} is complete; delete it to run again")
        if leader:
            write_report(self.folder.path)
        self.fabric.barrier()
        return Run.read(self.folder.path)

    def _results(self) -> Run | None:
        """What the process that writes makes of the run; None in the others."""
        started, load = time.time(), machine_load()  # before the training makes some itself
        settings_of(self.recipe.measure).check()
        check_files(self.recipe)
        with self.fabric.rank_zero_first(), self.console.status("reading the images") as status:
            self.data = data_of_run(
                self.recipe,
                self.folder,
                device=self.fabric.device,
                progress=lambda what, done, total: status.update(f"reading {what}: {done:,} of {total:,}"),
            )
        self._say(
            f"{self.data.name}: {self.data.num_train:,} training and {self.data.num_test:,} test images, "
            f"{f'{len(self.data.classes)} classes, ' if self.data.classes else ''}"
            f"{'x'.join(map(str, self.data.image_shape))}; scores are those of the test images"
        )
        check_inputs(self.folder, self.recipe, self.data, write=self.fabric.is_global_zero)
        self._say_how_processes_share()
        check_image_size(self.recipe, self.data)
        expected = self._expected_seconds(load)
        began = time.perf_counter()
        measured = partial(
            results_of,
            recipe=self.recipe,
            data=self.data,
            folder=self.folder,
            device=self.fabric.device,
            say=self._say,
            started=started,
            load=load,
        )
        nets = [self._teacher()]
        labels = list(self.recipe.methods)
        for place, label in enumerate(labels, start=1):
            nets += self._students(label, nets[0].net)
            if self.fabric.is_global_zero and place < len(labels) and time.perf_counter() - began > _WORTH_A_REPORT:
                so_far = measured(nets, task=self.task, files=False)
                self._say(f"report so far: {write_report_so_far(so_far, self.folder.path, labels[place:])}")
        if expected is not None:
            took = duration(time.perf_counter() - began)
            self._say(f"trained for {took}; the estimate was {duration(expected)}")
        if not self.fabric.is_global_zero:
            return None
        return measured(nets, task=self.task)

    def _say_how_processes_share(self) -> None:
        count = self.fabric.world_size
        if count > 1:
            how = (
                "over the whole batch, as in one process"
                if can_synchronize(self.fabric)
                else "over its own share of the batch, which one process would not (PyTorch synchronises on GPUs only)"
            )
            self._say(f"{count} processes share every batch; BatchNorm takes its statistics {how}")

    def _expected_seconds(self, load: Load) -> float | None:
        """How long the trainings will take, which is said too; None where that is too short to be of interest."""
        plan = planned_trainings(
            self.recipe, self.data, self.folder, processes=self.fabric.world_size, unless_shorter=_LONG
        )
        seconds = total_seconds(plan)
        if not plan or seconds is None or seconds < _LONG:
            return None
        each = ", ".join(f"{training.label} {duration(training.seconds or 0.0)}" for training in plan)
        self._say(f"training will take about {duration(seconds)} ({each}), by a few steps of each on this machine now")
        if load.is_high and torch.get_num_threads() > 1:
            self._say(
                f"other processes load this machine ({load}): a training of one thread, OMP_NUM_THREADS=1 in the "
                "environment, may be much faster"
            )
        return seconds

    # Teacher

    def _teacher(self) -> TrainedNet:
        section = self.recipe.teacher
        net = requested_teacher(self.recipe, self.data)
        if not trains_teacher(self.recipe):
            origin = "as it is made, since without labels none is trained"
            if section.weights is not None:
                load_weights(net, Path(section.weights))
                origin = f"from {section.weights}"
            self._say(f"teacher: {section.net} {origin}")
            return self._looked_at(TrainedNet("teacher", "teacher", net.eval(), None, [], reused=True))
        if section.initial_weights is not None:
            load_initial_weights(net, Path(section.initial_weights))
        home = teacher_home(self.recipe, self.data, self.folder, net, processes=self.fabric.world_size)
        training = self.recipe.training_of("teacher")
        is_kept = teacher_is_kept(home, training)
        shared = {
            path: self.folder.snapshot("teacher", epochs) for epochs, path in kept_snapshots(home, training).items()
        }
        shared |= {
            home / "teacher.json": self.folder.history("teacher"),
            home / "teacher.safetensors": self.folder.trained("teacher"),  # the last, which says that all are there
        }
        if is_kept and not self.folder.trained("teacher").exists():
            self._say(f"teacher: {section.net}, found again in {home}")
            for there, here in shared.items():
                write_bytes(here, there.read_bytes())
        net, history = self._trained("teacher", net, CE(), None, training)
        if not is_kept and self.fabric.is_global_zero:
            for there, here in shared.items():
                write_bytes(there, here.read_bytes())
        reused = not self.folder.trained_here("teacher")
        return self._looked_at(TrainedNet("teacher", "teacher", net, None, history, reused=reused))

    def _looked_at(self, teacher: TrainedNet) -> TrainedNet:
        """The teacher with its accuracy, saved. `UnskipError` for one that nobody should learn from."""
        net = teacher.net.to(self.fabric.device)
        teacher.score = look_at_teacher(net, self.data, self.recipe, epochs=len(teacher.history), say=self._say)
        self._save("teacher", net.cpu())
        self.task = self.task.with_teacher(teacher.net)
        return teacher

    # Students

    def _students(self, label: str, teacher: StagedNet) -> list[TrainedNet]:
        method = method_from(label, self.recipe.methods[label])
        requested = requested_student(self.recipe, self.data, teacher)
        trained, history = self._trained(label, requested, method, teacher, self.recipe.training_of(label))
        seed = seed_for(self.recipe, "images for deployables")
        batches = self.data.train_batches(self.recipe.training.batch_size, seed)
        ships = method.deployables(trained, ImagesOf(batches))
        students = []
        for name, net in ships.items():
            place = label if len(ships) == 1 else f"{label}-{name}"
            if place != label and place in self.recipe.methods:
                raise UnskipError(f"methods.{place}: the network {name} of methods.{label} is called so; rename one")
            self._save(place, net)
            students.append(TrainedNet(place, "student", net, method.name, history, training=label))
        return students

    # Both

    def _trained(
        self, label: str, net: StagedNet, method: Method, teacher: StagedNet | None, training: TrainingRecipe
    ) -> tuple[StagedNet, list[dict[str, Any]]]:
        """A trained network and its history: trained now, or loaded when an earlier call of this run trained it."""
        weights, history = self.folder.trained(label), self.folder.history(label)
        if not weights.exists():
            trains = net if teacher is None else method.student_of(teacher, net)
            self._say(f"{label}: {described(trains)}, {training.epochs} epoch{'s' if training.epochs > 1 else ''}")
            del trains
            checkpoint = Checkpoint(self.folder.checkpoint(label))
            leader = self.fabric.is_global_zero
            events = self.folder.path / "tensorboard" if training.tensorboard and leader else None
            loss, records = train_student(
                teacher,
                self.data,
                method,
                student=net,
                training=training,
                task=self.task,
                seed=batches_seed(self.recipe, label),
                monitor=Monitor(label, self.console, self.folder.metrics if leader else None, events, self.on_epoch),
                checkpoint=checkpoint,
                on_snapshot=lambda epochs, net: self._write(net, self.folder.snapshot(label, epochs)),
            )
            if leader:
                write_json(history, records)
                save_net(loss.student, weights, self.data.info)
                checkpoint.remove()
            self.fabric.barrier()
        return load_net(weights)[0], self.folder.load_history(label)

    def _save(self, label: str, net: StagedNet) -> None:
        self._write(net, self.folder.weights(label))

    def _write(self, net: StagedNet, path: Path) -> None:
        if self.fabric.is_global_zero:
            save_net(net, path, self.data.info)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False)
