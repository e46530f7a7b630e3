"""How tight the classes lie in front of the classifier, and how far apart.

The input of the last linear layer is taken for test images, as in figure 2 of the Demystification paper. Two numbers
are made of it, over all classes: the distance between classes, a mean over all pairs of the distance of their means,
and the spread within, the root of the mean squared distance of an image to the mean of its class. Their ratio has no
unit and can be compared between networks: the larger, the tighter and the further apart.

Drawn are the three classes on which the plain network answers worst, or the first student where there is no plain one.
The projection is the same for all: the first two principal components of a network's own activations of these images,
divided by its spread within these three classes. All pictures have the same axes, in that unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unskip.errors import UnskipError
from unskip.records.run_analysis import Claim, Cloud, Clouds, PlotGroup, WordTable
from unskip.run_analyses._activations import classifier_inputs
from unskip.run_analyses._runs import Runs, Subject, first_of
from unskip.run_analyses._words import claim, mean_and_spread, seeds_in_words
from unskip.run_analyses.base import AnalysisOfRuns

_PAPER = "Demystification, section 6 and figure 2"
_FIGURE = "the ratio of distance between classes to spread within, over all classes"
_SEPARATED = "The classes of a residual network are well separated, those of the plain one broad and overlapping"
_TIGHTER = "Distillation makes the clusters of a plain network tighter and moves them apart"
_OUTPERFORMS = "The clusters of a distilled plain network can be tighter than the teacher's own"


@dataclass(frozen=True)
class Separation:
    """Of a network by seed: top-1 on the images, distance between classes, spread within, their ratio.

    ``worst`` is the ratio among the classes that are drawn.
    """

    label: str
    kind: str
    family: int
    color: int
    top1: Mapping[int, float]
    between: Mapping[int, float]
    within: Mapping[int, float]
    ratio: Mapping[int, float]
    worst: Mapping[int, float]


@dataclass(frozen=True)
class Projection:
    """The drawn images of a network: coordinates by class, in units of the spread within."""

    label: str
    color: int
    points: Mapping[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True)
class Clusters(AnalysisOfRuns):
    """``classes`` are those that are drawn, the worst of ``worst_of``, with its top-1 on each; ``images`` looked at."""

    title: ClassVar[str] = "Activation clusters"

    images: int
    worst_of: str
    classes: Mapping[str, float]
    nets: tuple[Separation, ...]
    projections: tuple[Projection, ...]

    @classmethod
    def of(
        cls,
        runs: Runs,
        *,
        images: Annotated[int, Field(ge=20, description="test images, balanced over the classes")] = 1000,
        classes: Annotated[int, Field(ge=2, le=6, description="how many classes are drawn")] = 3,
    ) -> Clusters:
        """Look at the classifier's input of every network; `UnskipError` for one without a linear classifier."""
        pictures, labels = runs.test_images(images)
        names = runs[0].record.data.classes
        if len(names) < classes:
            raise UnskipError(
                f"the images have {len(names)} classes, so {classes} cannot be drawn; set `classes` lower"
            )
        layers_of: dict[str, dict[int, tuple[Tensor, Tensor]]] = {}
        for subject in runs.subjects:
            for run, net in subject.nets():
                runs.say(f"activations of {subject.label}, seed {run.seed}")
                features, logits = classifier_inputs(net, pictures, f"{subject.label} of {run.folder.path}")
                layers_of.setdefault(subject.label, {})[run.seed] = features.double(), logits.argmax(1) == labels
        chosen = first_of(runs.subjects, "plain", "distilled", "residual", "teacher")
        assert chosen is not None
        right = torch.stack([hits.double() for _, hits in layers_of[chosen.label].values()]).mean(0)
        by_class = {int(number): float(right[labels == number].mean()) for number in labels.unique()}
        worst = sorted(by_class, key=lambda number: by_class[number])[:classes]
        drawn = torch.isin(labels, torch.tensor(worst))

        def separation(subject: Subject) -> Separation:
            every = {seed: separations(features, labels) for seed, (features, _) in layers_of[subject.label].items()}
            few = {
                seed: separations(each[drawn], labels[drawn]) for seed, (each, _) in layers_of[subject.label].items()
            }
            return Separation(
                subject.label,
                subject.kind,
                subject.family,
                subject.color,
                top1={seed: float(hits.double().mean()) for seed, (_, hits) in layers_of[subject.label].items()},
                between={seed: between for seed, (between, _) in every.items()},
                within={seed: within for seed, (_, within) in every.items()},
                ratio={seed: ratio(*both) for seed, both in every.items()},
                worst={seed: ratio(*both) for seed, both in few.items()},
            )

        projections = []
        for subject in runs.subjects:
            features, _ = next(iter(layers_of[subject.label].values()))
            points = principal_components(features[drawn]) / separations(features[drawn], labels[drawn])[1]
            by_name = {names[number]: points[labels[drawn] == number].tolist() for number in worst}
            pairs = {name: tuple((x, y) for x, y in rows) for name, rows in by_name.items()}
            projections.append(Projection(subject.label, subject.color, pairs))
        return cls(
            runs.about,
            len(labels),
            chosen.label,
            {names[number]: by_class[number] for number in worst},
            tuple(map(separation, runs.subjects)),
            tuple(projections),
        )

    def how(self) -> str:
        """What was looked at."""
        shown = ", ".join(f"{name} ({100 * top1:.1f} %)" for name, top1 in self.classes.items())
        return (
            f"The input of the last linear layer for {self.images:,} test images, balanced over the classes. Drawn: "
            f"{shown}, on which {self.worst_of} has the lowest top-1."
        )

    def claims(self) -> Sequence[Claim]:
        """Of the ratio of distance between to spread within, over all classes."""
        claims = []
        for family in dict.fromkeys(net.family for net in self.nets):
            of_kind: dict[str, list[Separation]] = {}
            for net in self.nets:
                if net.family == family:
                    of_kind.setdefault(net.kind, []).append(net)
            teacher, plain = (next(iter(of_kind.get(kind, [])), None) for kind in ("teacher", "plain"))
            residual = next(iter(of_kind.get("residual", [])), teacher)
            pairs = [(_SEPARATED, (residual, "residual network"), (plain, "plain network"))]
            for distilled in of_kind.get("distilled", []):
                pairs.append((_TIGHTER, (distilled, ""), (plain, "plain network")))
                pairs.append((_OUTPERFORMS, (distilled, ""), (teacher, "teacher")))
            claims += [
                claim(statement, _PAPER, _FIGURE, _ratio(*better), _ratio(*than)) for statement, better, than in pairs
            ]
        return claims

    def tables(self) -> Sequence[WordTable]:
        """Networks with their separation."""
        columns = ("network", "top-1, %", "between classes", "within classes", "between / within", "the drawn classes")
        rows = tuple(
            (
                net.label,
                mean_and_spread({seed: 100 * value for seed, value in net.top1.items()}),
                *map(mean_and_spread, (net.between, net.within, net.ratio, net.worst)),
            )
            for net in self.nets
        )
        caption = f"{seeds_in_words([run.seed for run in self.runs]).capitalize()}. The larger the ratio, the tighter."
        return [WordTable(title="Classes in front of the classifier", columns=columns, rows=rows, caption=caption)]

    def plots(self) -> Sequence[PlotGroup]:
        """A picture for each network."""
        coordinates = [
            abs(number) for each in self.projections for rows in each.points.values() for row in rows for number in row
        ]
        reach = 1.05 * max(coordinates)
        plots = tuple(
            Clouds(
                title=each.label,
                color=each.color,
                reach=reach,
                clouds=tuple(
                    Cloud(label=name, x=tuple(x for x, _ in rows), y=tuple(y for _, y in rows))
                    for name, rows in each.points.items()
                ),
            )
            for each in self.projections
        )
        caption = (
            f"The {len(self.classes)} classes on which {self.worst_of} answers worst, in the first two principal "
            "components of each network's own activations, in units of its spread within these classes, all on the "
            f"same axes. {'The first seed. ' if len(self.runs) > 1 else ''}A colour and a mark stand for a class."
        )
        return [PlotGroup(title="Activations of the last layer", caption=caption, plots=plots)]


def separations(features: Tensor, labels: Tensor) -> tuple[float, float]:
    """The mean distance between the means of two classes, and the root of the mean squared distance to one's own.

    features: (images, features), labels: (images,).
    """
    means = {int(number): features[labels == number].mean(0) for number in labels.unique()}
    distances = [float((means[one] - means[other]).norm()) for one, other in combinations(means, 2)]
    own = torch.stack([means[int(label)] for label in labels])
    within = float((features - own).square().sum(1).mean().sqrt())
    return sum(distances) / len(distances), within


def ratio(between: float, within: float) -> float:
    """Between divided by within; 0 where all features are the same."""
    return between / within if within else 0.0


def principal_components(features: Tensor) -> Tensor:
    """The first two principal components (images, 2) of features (images, features), each with its larger side up."""
    centred = features - features.mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * values[:2]
    return points * points.pow(3).sum(0).sign().where(points.pow(3).sum(0) != 0, torch.ones(()).to(points))


def _ratio(net: Separation | None, kind: str) -> tuple[str, Mapping[int, float] | None]:
    return (kind, None) if net is None else (net.label, net.ratio)
