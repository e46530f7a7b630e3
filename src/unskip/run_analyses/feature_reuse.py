"""How similar the input and the output of each block are: over depth, over training, and to the teacher's.

Similarity is linear CKA (Kornblith et al. 2019) of the whole maps of test images, with the unbiased estimator of HSIC
(Nguyen et al. 2021), since a map has more numbers than there are images. 1 is the same up to rotation and scale, 0 is
unrelated. Blocks are what stands in the stages and has weights; a map is what the block is given and what it returns,
behind its last activation.

- Within a network: each block's output against its input. The number of a network is the mean over the blocks that
  neither change the resolution nor the number of channels: those are where an identity shortcut hands its input on.
- Across networks: each block's output against that of the teacher's block of the same name.

With snapshots the mean is also found after those epochs. BatchNorm has the statistics of the same images there, since
the running ones lag behind after few steps, and are none before the first. A network of `fade_kd` still has its
shortcuts, or a part of them, then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from unskip.records.run_analysis import Claim, Lines, PlotGroup, PlotLine, WordTable
from unskip.run_analyses._activations import block_maps, with_own_statistics
from unskip.run_analyses._courses import Course, at_end, course_plot, course_table, end_table, families_of
from unskip.run_analyses._runs import Runs
from unskip.run_analyses._similarity import cka, gram
from unskip.run_analyses._words import claim, half_band, mean_of
from unskip.run_analyses.base import AnalysisOfRuns

_PAPER = "Demystification, section 4, feature reuse viewpoint"
_FIGURE = "the mean CKA of input and output over blocks of one shape"
_ENABLES = "Residual connections enable feature reuse in the forward pass"
_DOES_NOT = "Distillation does not make up for the feature reuse that goes with the shortcuts"
_RECOVERS = "A distilled plain network gets some of the feature reuse back"


@dataclass(frozen=True)
class Depth:
    """Of a trained network, block by block and seed: CKA of output and input, and with the teacher's output."""

    label: str
    kind: str
    family: int
    color: int
    in_out: Mapping[str, Mapping[int, float]]
    to_teacher: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class FeatureReuse(AnalysisOfRuns):
    """``reuse`` and ``likeness`` are means over blocks, by epoch and seed, ``depths`` the trained, block by block."""

    title: ClassVar[str] = "Feature reuse"

    images: int
    depths: tuple[Depth, ...]
    reuse: tuple[Course, ...]
    likeness: tuple[Course, ...]

    @classmethod
    def of(
        cls,
        runs: Runs,
        *,
        images: Annotated[int, Field(ge=16, le=5000, description="test images, balanced over the classes")] = 256,
        epochs: Annotated[
            tuple[int, ...] | None,
            Field(strict=False, description="snapshots to look at; by default all that there are"),
        ] = None,
    ) -> FeatureReuse:
        """Look at every block of every network."""
        pictures, _ = runs.test_images(images)
        teachers = {run.label: _outputs(block_maps(run.net("teacher"), pictures)) for run in runs}
        depths, reuse, likeness = [], [], []
        for subject in runs.subjects:
            own, alike = Course.begun(subject), Course.begun(subject)
            in_out: dict[str, dict[int, float]] = {}
            to_teacher: dict[str, dict[int, float]] = {}
            for snapshot in (*runs.epochs_of(subject, epochs), None):
                for run, net in subject.nets(snapshot):
                    at = subject.trained_for if snapshot is None else snapshot
                    runs.say(f"blocks of {subject.label} after {at} epochs, seed {run.seed}")
                    inside, across, steady = {}, {}, []
                    looked_at = net if snapshot is None else with_own_statistics(net, pictures)
                    for place, (given, returned) in block_maps(looked_at, pictures).items():
                        output = gram(returned)
                        inside[place] = cka(gram(given), output)
                        if given.shape == returned.shape:
                            steady.append(place)
                        if place in teachers[run.label]:
                            across[place] = cka(output, teachers[run.label][place])
                    own.add(at, run.seed, _mean([inside[place] for place in steady]))
                    alike.add(at, run.seed, _mean(list(across.values())))
                    if snapshot is None:
                        for found, by_block in ((in_out, inside), (to_teacher, across)):
                            for place, value in by_block.items():
                                found.setdefault(place, {})[run.seed] = 0.0 if math.isnan(value) else value
            depths.append(Depth(subject.label, subject.kind, subject.family, subject.color, in_out, to_teacher))
            reuse.append(own)
            likeness.append(alike)
        return cls(runs.about, len(pictures), tuple(depths), tuple(reuse), tuple(likeness))

    def how(self) -> str:
        """What was looked at."""
        return (
            f"Linear CKA, unbiased, of the maps of {self.images:,} test images, balanced over the classes. A block "
            "whose output is the same for all images counts as 0."
        )

    def claims(self) -> Sequence[Claim]:
        """More of it with shortcuts, and not brought back by distillation."""
        claims = []
        for family in families_of(self.reuse):
            residual, plain = at_end(family.residual, "residual network"), at_end(family.plain, "plain network")
            claims.append(claim(_ENABLES, _PAPER, _FIGURE, residual, plain))
            claims += [claim(_DOES_NOT, _PAPER, _FIGURE, residual, at_end(net, "")) for net in family.distilled]
            claims += [
                claim(_RECOVERS, "against the same section", _FIGURE, at_end(net, ""), plain)
                for net in family.distilled
            ]
        return claims

    def tables(self) -> Sequence[WordTable]:
        """The means of the trained networks, then their course."""
        columns = {"input and output": self.reuse, "to the teacher": self.likeness}
        tables = [end_table("Mean CKA over blocks, trained networks", columns, self.runs)]
        if any(len(course.figures) > 1 for course in self.reuse):
            tables.append(course_table("Input and output over training", self.reuse, self.runs))
            tables.append(course_table("To the trained teacher over training", self.likeness, self.runs))
        return tables

    def plots(self) -> Sequence[PlotGroup]:
        """Over depth, family by family; over training."""
        groups: list[PlotGroup] = []
        for number in dict.fromkeys(each.family for each in self.depths):
            family = [each for each in self.depths if each.family == number]
            plots = (
                _over_depth("Each block's output to its input", [(each, each.in_out) for each in family]),
                _over_depth(
                    "Each block's output to the teacher's",
                    [(each, each.to_teacher) for each in family if each.kind != "teacher"],
                ),
            )
            title = "Over depth" if not groups else f"Over depth, {family[0].label}"
            caption = "Of the trained networks. Where a stage begins, a block changes the shape of its maps."
            groups.append(PlotGroup(title=title, caption=caption, plots=plots))
        if any(len(course.figures) > 1 for course in self.reuse):
            courses = (
                course_plot("Input and output", "mean CKA", self.reuse),
                course_plot("To the trained teacher", "mean CKA", self.likeness),
            )
            groups.append(PlotGroup(title="Over training", caption="Means over blocks.", plots=courses))
        return groups


def _outputs(maps: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    return {place: gram(returned) for place, (_, returned) in maps.items()}


def _mean(values: Sequence[float]) -> float:
    """The mean; 0 for what is the same for all images, and where there is nothing."""
    return sum(0.0 if math.isnan(value) else value for value in values) / len(values) if values else 0.0


def _over_depth(title: str, curves: Sequence[tuple[Depth, Mapping[str, Mapping[int, float]]]]) -> Lines:
    ticks = list(dict.fromkeys(place for _, by_block in curves for place in by_block))
    return Lines(
        title=title,
        x_title="block, stage by stage",
        y_title="CKA",
        ticks=tuple(place.replace("stage", "").replace("block", "") for place in ticks),
        lines=tuple(
            PlotLine(
                label=depth.label,
                color=depth.color,
                x=tuple(float(ticks.index(place)) for place in by_block),
                y=tuple(map(mean_of, by_block.values())),
                spread=tuple(map(half_band, by_block.values())),
            )
            for depth, by_block in curves
        ),
    )
