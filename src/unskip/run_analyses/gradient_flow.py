"""How large the gradient of each stage is, under each method's own loss: over depth and over training.

A network's loss is that of its own training, ``method.loss(teacher, student)`` with the recipe's fields, label
smoothing and progress, in train mode. The batches are its training's own: those with which it goes on after so many
epochs, so that after 0 epochs the first is the gradient of its first step. Norms are Euclidean, over all parameters of
a part, a mean over the batches. The teacher's is the cross-entropy.

Losses differ in scale, so methods are compared by how a gradient changes with depth: the first stage's norm divided by
the last stage's. Where gradients vanish on their way back, that ratio is small. Networks of one architecture can be
compared so; those of other depths have other numbers of parameters in a stage.

Layers that training adds and drops afterwards (connectors) are new here, and mixup and cutmix are left out. A method
that trains one part after the other has no gradient in the others: a dash. Where several networks come out of one
training, the first stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unskip.errors import UnskipError
from unskip.methods import method_from
from unskip.methods.base import DistillationLoss
from unskip.methods.ce import CE
from unskip.recipe_nets import batches_seed
from unskip.records.run_analysis import Claim, Lines, PlotGroup, PlotLine, WordTable
from unskip.run_analyses._courses import Course, after, course_plot, course_table, families_of
from unskip.run_analyses._runs import Runs, Subject, TrainedRun
from unskip.run_analyses._words import claim, half_band, logarithms, mean_of
from unskip.run_analyses.base import AnalysisOfRuns
from unskip.tasks import make_task

_FIGURE = "the first stage's gradient norm divided by the last stage's, as a power of ten"
_VANISHES = "In a plain network gradients vanish on their way back, which shortcuts prevent"
_MENDS = {
    "joint_rd": (
        "Gradients through the teacher's later stages solve the vanishing of a plain network's",
        "JointRD, abstract",
    ),
    "align_kd": (
        "Aligned stages solve the vanishing of gradients without passes through the teacher",
        "AlignKD, section 1",
    ),
    "kd": ("Distillation makes up for the stable gradients that shortcuts give", "Demystification, section 4"),
}


@dataclass(frozen=True)
class Norms:
    """Of a network's parts, in order: ``parts[part][epochs][seed]``, the norms of their gradients."""

    label: str
    kind: str
    family: int
    color: int
    method: str
    parts: Mapping[str, Mapping[int, Mapping[int, float]]]


@dataclass(frozen=True)
class GradientFlow(AnalysisOfRuns):
    """Norms by part, epoch and seed, and the ratio of the first stage's to the last stage's."""

    title: ClassVar[str] = "Gradient flow"

    batches: int
    norms: tuple[Norms, ...]
    ratio: tuple[Course, ...]

    @classmethod
    def of(
        cls,
        runs: Runs,
        *,
        batches: Annotated[int, Field(ge=1, description="batches whose norms are averaged")] = 4,
        epochs: Annotated[
            tuple[int, ...] | None,
            Field(strict=False, description="snapshots to look at; by default all that there are"),
        ] = None,
    ) -> GradientFlow:
        """Look at the gradients of every training."""
        norms, ratios = [], []
        for subject in runs.subjects:
            if not subject.leads:
                continue  # its training is looked at under the first network that comes out of it
            parts: dict[str, dict[int, dict[int, float]]] = {}
            course = Course.begun(subject)
            for snapshot in (*runs.epochs_of(subject, epochs), None):
                for run in subject.runs:
                    at = subject.trained_for if snapshot is None else snapshot
                    runs.say(f"gradients of {subject.label} after {at} epochs, seed {run.seed}")
                    norm_of = _norms(run, subject, snapshot, at, batches)
                    for part, norm in norm_of.items():
                        if norm:
                            parts.setdefault(part, {}).setdefault(at, {})[run.seed] = norm
                    stages = [norm for part, norm in norm_of.items() if part.startswith("stage")]
                    if stages[0] and stages[-1]:
                        course.add(at, run.seed, stages[0] / stages[-1])
            method = "ce" if subject.kind == "teacher" else _method_name(subject)
            norms.append(Norms(subject.label, subject.kind, subject.family, subject.color, method, parts))
            ratios.append(course)
        if not norms:
            raise UnskipError("`nets` names no first network of a training, and a training is looked at under that one")
        return cls(runs.about, batches, tuple(norms), tuple(ratios))

    def how(self) -> str:
        """What was looked at."""
        return (
            f"Euclidean norms of the gradients of each part's parameters under the network's own loss, in train mode, "
            f"means over {self.batches} batch{'es' * (self.batches > 1)} of its own training."
        )

    def claims(self) -> Sequence[Claim]:
        """That gradients vanish in a plain network, and who mends that; epoch by epoch."""
        claims = []
        methods = {each.label: each.method for each in self.norms}
        for family in families_of(self.ratio):
            every = sorted({epochs for course in family.courses for epochs in course.figures})
            for epochs in every:
                when = f"after {epochs} epoch{'s' * (epochs != 1)}"
                plain = after(family.plain, "plain network", epochs, logarithms)
                residual = after(family.residual, "residual network", epochs, logarithms)
                if plain[1] is None:
                    continue
                if residual[1] is not None:
                    claims.append(
                        claim(_VANISHES, "JointRD, abstract; He et al. 2016", _FIGURE, residual, plain, when=when)
                    )
                for net in family.distilled:
                    if methods[net.label] in _MENDS and epochs in net.figures:
                        statement, source = _MENDS[methods[net.label]]
                        net_then = after(net, "", epochs, logarithms)
                        claims.append(claim(statement, source, _FIGURE, net_then, plain, when=when))
        return claims

    def tables(self) -> Sequence[WordTable]:
        """The ratio over training, and the norms of each network."""
        tables = [course_table("First stage's gradient norm divided by the last stage's", self.ratio, self.runs)]
        for each in self.norms:
            courses = [
                Course(part, "plain", 0, 0, {epochs: dict(by) for epochs, by in figures.items()})
                for part, figures in each.parts.items()
            ]
            table = course_table(f"Gradient norms of {each.label}", courses, self.runs)
            tables.append(table.model_copy(update={"columns": ("part", *table.columns[1:])}))
        return tables

    def plots(self) -> Sequence[PlotGroup]:
        """Norms over depth, family by family and epoch by epoch; the ratio over training."""
        groups: list[PlotGroup] = []
        for number in dict.fromkeys(each.family for each in self.norms):
            family = [each for each in self.norms if each.family == number]
            every = sorted({epochs for each in family for figures in each.parts.values() for epochs in figures})
            plots = tuple(_over_depth(family, epochs) for epochs in every)
            named = len(dict.fromkeys(each.family for each in self.norms)) > 1
            title = f"Over depth, {family[0].label.rpartition(' ')[0] or family[0].label}" if named else "Over depth"
            caption = "Norms of the gradients of each part, stem to head, under each network's own loss."
            groups.append(PlotGroup(title=title, caption="" if groups else caption, plots=plots))
        if any(len(course.figures) > 1 for course in self.ratio):
            plots = tuple(
                course_plot("First stage divided by last stage", "ratio of norms", family.courses, logarithmic=True)
                for family in families_of(self.ratio)
            )
            groups.append(PlotGroup(title="Over training", caption="", plots=plots))
        return groups


def gradient_norms(
    loss: DistillationLoss, batches: Sequence[tuple[Tensor, Tensor]], progress: float
) -> dict[str, float]:
    """The norm of each part's gradient, a mean over batches (images, labels); 0 where a phase does not train it."""
    loss.train()
    totals = dict.fromkeys(loss.student.part_names, 0.0)
    for images, labels in batches:
        loss.zero_grad(set_to_none=True)
        loss(images, labels, progress).backward()
        for name, part in loss.student.named_parts():
            squares = [float(each.grad.double().square().sum()) for each in part.parameters() if each.grad is not None]
            totals[name] += sum(squares) ** 0.5 / len(batches)
    return totals


def _norms(run: TrainedRun, subject: Subject, snapshot: int | None, at: int, count: int) -> dict[str, float]:
    """Of the batches with which a training goes on after so many epochs."""
    label = run.training_label(subject.net)
    training = run.training(label)
    method = CE() if label == "teacher" else method_from(label, run.recipe.methods[label])
    teacher = None if label == "teacher" else run.net("teacher")
    task = make_task(**dict(run.recipe.task))
    if teacher is not None:
        task = task.with_teacher(teacher)
    net = run.in_training(label, snapshot).requires_grad_()
    seed = batches_seed(run.recipe, label)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for layers that only the training has, and dropout
        loss = method.loss(teacher, net, task=task.smoothed(training.label_smoothing), epochs=training.epochs)
        return gradient_norms(loss, list(_batches(run, training.batch_size, seed, at, count)), at / training.epochs)


def _batches(run: TrainedRun, size: int, seed: int, epoch: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from islice(run.data.train_batches(size, seed).epoch(epoch), count)


def _method_name(subject: Subject) -> str:
    run = subject.runs[0]
    label = run.training_label(subject.net)
    return method_from(label, run.recipe.methods[label]).name


def _over_depth(family: Sequence[Norms], epochs: int) -> Lines:
    ticks = list(dict.fromkeys(part for each in family for part in each.parts))
    lines = []
    for each in family:
        figures = {part: by_epoch[epochs] for part, by_epoch in each.parts.items() if epochs in by_epoch}
        if figures:
            lines.append(
                PlotLine(
                    label=each.label.rpartition(" ")[2],
                    color=each.color,
                    x=tuple(float(ticks.index(part)) for part in figures),
                    y=tuple(map(mean_of, figures.values())),
                    spread=tuple(map(half_band, figures.values())),
                )
            )
    return Lines(
        title=f"After {epochs} epoch{'s' * (epochs != 1)}",
        x_title="part",
        y_title="norm of the gradient",
        ticks=tuple(ticks),
        logarithmic=True,
        lines=tuple(lines),
    )
