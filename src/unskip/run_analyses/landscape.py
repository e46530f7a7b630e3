"""How the loss bends around the weights: slices, the largest Hessian eigenvalue, the share of negative curvature.

The loss is the cross-entropy of a network in eval mode, for all networks alike whatever they were trained by, over
training images without augmentation. Slices are those of Li et al., Visualizing the Loss Landscape of Neural Nets
(2018): ``L(w + a x + b y)`` for a and b from -reach to reach, x and y random directions in which each filter has the
norm of the weights' own filter; biases and BatchNorm are left as they are. Filters of one name and shape point the same
way in all networks, and all pictures have the same axes and levels.

- The largest eigenvalue of the Hessian, over all parameters, is found by power iteration on Hessian-vector products,
  on the same images. It ends when the relative residual ``|Hv - lambda v| / |lambda|`` is below the tolerance, or after
  so many iterations; the residual is shown. The error of the eigenvalue is of the second order in it.
- The share of negative curvature counts the inner points of the slice in which the smaller eigenvalue of the slice's
  own Hessian, by central differences, is negative by more than a hundredth of the larger.

With snapshots both are also found after those epochs. BatchNorm has the statistics of the same images there, since
the running ones lag behind after few steps, and are none before the first. A network of `fade_kd` still has its
shortcuts, or a part of them, then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unskip.nets import StagedNet
from unskip.records.run_analysis import Claim, PlotGroup, Surface, WordTable
from unskip.run_analyses._activations import batches, with_own_statistics
from unskip.run_analyses._courses import Course, after, at_end, course_plot, course_table, end_table, families_of
from unskip.run_analyses._curvature import filter_normalised, largest_eigenvalue, loss_slice, negative_share
from unskip.run_analyses._runs import Runs
from unskip.run_analyses._words import as_they_are, claim, logarithms
from unskip.run_analyses.base import AnalysisOfRuns

_PAPER = "Demystification, section 4, loss landscape viewpoint"
_ROUGHER = "Without shortcuts the loss surface goes from well-behaved to chaotic"
_FLATTER = "Distillation lets a plain network converge to flatter minima"
_BEGINS = "Distillation serves as a better initialisation: training begins in a well-behaved region"
_SHARPNESS = "the largest Hessian eigenvalue of the trained weights, as a power of ten"
_NEGATIVE = "the share of the slice with negative curvature"


@dataclass(frozen=True)
class Slice:
    """The slice of the first seed's network after so many epochs."""

    label: str
    color: int
    epochs: int
    heights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Landscape(AnalysisOfRuns):
    """Figures by network, by epoch and by seed; slices of the first seed, at ``places`` on both axes."""

    title: ClassVar[str] = "Loss landscape"

    images: int
    iterations: int
    tolerance: float
    places: tuple[float, ...]
    loss: tuple[Course, ...]
    eigenvalue: tuple[Course, ...]
    residual: tuple[Course, ...]
    negative: tuple[Course, ...]
    slices: tuple[Slice, ...]

    @classmethod
    def of(
        cls,
        runs: Runs,
        *,
        images: Annotated[int, Field(ge=8, description="training images, balanced over the classes")] = 128,
        iterations: Annotated[int, Field(ge=1, description="most products with the Hessian")] = 20,
        tolerance: Annotated[float, Field(gt=0, lt=1, description="relative residual that is small enough")] = 0.02,
        steps: Annotated[int, Field(ge=2, le=50, description="points of the slice on each side of the weights")] = 5,
        reach: Annotated[float, Field(gt=0, le=10, description="half the side of the slice, in filter norms")] = 1.0,
        epochs: Annotated[
            tuple[int, ...] | None,
            Field(strict=False, description="snapshots to look at; by default all that there are"),
        ] = None,
    ) -> Landscape:
        """Look at the loss around every network's weights."""
        places = tuple(reach * place / steps for place in range(-steps, steps + 1))
        courses_of: dict[str, list[Course]] = {name: [] for name in ("loss", "eigenvalue", "residual", "negative")}
        slices = []
        for subject in runs.subjects:
            courses = {name: Course.begun(subject) for name in courses_of}
            for snapshot in (*runs.epochs_of(subject, epochs), None):
                for run, net in subject.nets(snapshot):
                    at = subject.trained_for if snapshot is None else snapshot
                    runs.say(f"loss around {subject.label} after {at} epochs, seed {run.seed}")
                    pictures, labels = run.data.labelled_train_images(images, 0)
                    look = _Look(net if snapshot is None else with_own_statistics(net, pictures), pictures, labels)
                    eigen = largest_eigenvalue(look.parameters, look.losses, iterations=iterations, tolerance=tolerance)
                    heights = look.heights(places)
                    numbers = (look.loss(), eigen.value, eigen.residual, negative_share(heights))
                    for name, number in zip(courses_of, numbers, strict=True):
                        courses[name].add(at, run.seed, number)
                    if run is subject.runs[0]:
                        slices.append(Slice(subject.label, subject.color, at, tuple(map(tuple, heights))))
            for name, course in courses.items():
                courses_of[name].append(course)
        whole = {name: tuple(courses) for name, courses in courses_of.items()}
        return cls(runs.about, images, iterations, tolerance, places, **whole, slices=tuple(slices))

    def how(self) -> str:
        """What was looked at."""
        residuals = [
            value for course in self.residual for by_seed in course.figures.values() for value in by_seed.values()
        ]
        return (
            f"Cross-entropy in eval mode over {self.images:,} training images without augmentation. Slices of "
            f"{len(self.places)} x {len(self.places)} points, filter-normalised. Power iteration: at most "
            f"{self.iterations} Hessian-vector products, until the relative residual is below {self.tolerance:g}; the "
            f"residuals are at most {max(residuals):.2g}, their mean {sum(residuals) / len(residuals):.2g}."
        )

    def claims(self) -> Sequence[Claim]:
        """Rougher without shortcuts, flatter with distillation, well-behaved from the beginning."""
        claims = []
        for sharp, bent in zip(families_of(self.eigenvalue), families_of(self.negative), strict=True):
            for figure, family, by in ((_SHARPNESS, sharp, logarithms), (_NEGATIVE, bent, as_they_are)):
                plain = at_end(family.plain, "plain network", by)
                claims.append(claim(_ROUGHER, _PAPER, figure, plain, at_end(family.residual, "residual network", by)))
            plain = at_end(sharp.plain, "plain network", logarithms)
            for net in sharp.distilled:
                claims.append(claim(_FLATTER, _PAPER, _SHARPNESS, plain, at_end(net, "", logarithms)))
            for epochs in sorted({epochs for net in bent.distilled for epochs in net.figures if epochs in (1, 2)}):
                when = f"after {epochs} epoch{'s' * (epochs > 1)}"
                early = after(bent.plain, "plain network", epochs)
                for net in bent.distilled:
                    claims.append(claim(_BEGINS, _PAPER, _NEGATIVE, early, after(net, net.label, epochs), when=when))
        return claims

    def tables(self) -> Sequence[WordTable]:
        """Trained weights, then the course."""
        ends = {
            "loss": self.loss,
            "largest eigenvalue": self.eigenvalue,
            "relative residual": self.residual,
            "negative curvature, share": self.negative,
        }
        tables = [end_table("Around the trained weights", ends, self.runs)]
        if self.over_training:
            tables.append(course_table("Largest eigenvalue over training", self.eigenvalue, self.runs))
            tables.append(course_table("Share of negative curvature over training", self.negative, self.runs))
        return tables

    @property
    def over_training(self) -> bool:
        """Whether there are figures besides those of the trained networks."""
        return any(len(course.figures) > 1 for course in self.loss)

    def plots(self) -> Sequence[PlotGroup]:
        """Slices of the trained weights, then after each epoch; the two numbers over training."""
        groups: list[PlotGroup] = []
        every = [height for each in self.slices for row in each.heights for height in row]
        low, high = min(every), max(every)
        ends = {course.label: max(course.figures) for course in self.loss}
        caption = "Cross-entropy; the cross marks the weights. All have the same axes, in filter norms, and levels."
        seeds = " Of the first seed." if len({run.seed for run in self.runs}) > 1 else ""
        stages = [None, *sorted({each.epochs for each in self.slices if each.epochs != ends[each.label]})]
        for epochs in stages:
            chosen = [each for each in self.slices if each.epochs == (ends[each.label] if epochs is None else epochs)]
            title = (
                "Slices around the trained weights"
                if epochs is None
                else ("Before the first step" if epochs == 0 else f"After {epochs} epoch{'s' * (epochs > 1)}")
            )
            plots = tuple(
                Surface(
                    title=each.label,
                    color=each.color,
                    places=self.places,
                    z=each.heights,
                    low=low,
                    high=high,
                    z_title="cross-entropy",
                )
                for each in chosen
            )
            groups.append(PlotGroup(title=title, caption=caption + seeds if epochs is None else "", plots=plots))
        if self.over_training:
            lines = (
                course_plot("Largest eigenvalue", "largest Hessian eigenvalue", self.eigenvalue, logarithmic=True),
                course_plot("Negative curvature", "share of the slice", self.negative),
            )
            groups.append(
                PlotGroup(title="Over training", caption="Bands are the standard deviation over seeds.", plots=lines)
            )
        return groups


class _Look:
    """A network's loss over images, as functions of its weights."""

    def __init__(self, net: StagedNet, images: Tensor, labels: Tensor) -> None:
        self.net = net.requires_grad_().eval()
        self.images, self.labels = images, labels
        self.named = dict(net.named_parameters())
        self.parameters = list(self.named.values())

    def losses(self) -> Iterator[Tensor]:
        """Its parts, batch by batch."""
        for images, labels in batches(self.images, self.labels):
            yield F.cross_entropy(self.net(images), labels, reduction="sum") / len(self.labels)

    @torch.no_grad()
    def loss(self) -> float:
        """The mean over the images."""
        return sum(float(part) for part in self.losses())

    def heights(self, places: Sequence[float]) -> list[list[float]]:
        """The slice."""
        directions = (filter_normalised(self.named, "x"), filter_normalised(self.named, "y"))
        return loss_slice(self.parameters, self.loss, directions, places)
