"""Which students are tried, and how each of them is trained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

from unskip.methods import method_class
from unskip.methods.fit_kd import FitKD
from unskip.nets import StagedNet
from unskip.recipe import Recipe, recipe_from
from unskip.records import Trial
from unskip.search import BudgetAnswer, Candidate
from unskip.search.recipes import from_teacher
from unskip.shrink.lengths import FITTING_SHARE, Length

STUDENT = "student"
"""The label of the network that a recipe trains."""

FITTED = "fit_kd"
"""The method that fits blocks before the first step."""

FEWEST_FADED_STEPS = 1000
"""In fewer steps fitting leaves more than fading does (docs/results/fitting.md#or-fading)."""

_FEWEST_FITTED, _FEWEST_PASSES = 256, 2.0  # images on which blocks are fitted, and passes over more of them

_ITSELF: Mapping[str, Any] = {"student": {"edits": []}, "methods": {"ce": {}}}  # of itself it would learn nothing


def candidates_of(answers: Sequence[BudgetAnswer], teacher: StagedNet, count: int) -> list[Trial]:
    """The students that are tried, at most ``count``: of every kind of edits the least changed first, then the next.

    The first of the ``answers`` is for images of the teacher's size, the others for smaller ones, on which the network
    as it is may keep the budget too. Sub-nets are the same networks as students of fewer blocks, and need no trial of
    their own.
    """
    trials: list[Trial] = []
    for answer, candidate in islice(usable(answers), count):
        student, (_, height, width) = candidate.student, answer.input_shape
        way = from_teacher(teacher, student) if student.edits else _ITSELF
        words = str(student) if answer is answers[0] else f"{student}, images of {height}x{width}"
        trials.append(
            Trial(
                label=_label(words, [trial.label for trial in trials]),
                words=words,
                edits=tuple(way["student"]["edits"]),
                method=next(iter(way["methods"])),
                input_shape=answer.input_shape,
                shortcuts=student.shortcuts,
                figures=dict(candidate.figures),
            )
        )
    return trials


def recipe_of(base: Recipe, trial: Trial, length: Length, num_images: int) -> Recipe:
    """The recipe that trains a student for so long, on a share of so many images, and nothing else."""
    batch = base.training.batch_size
    # Training as it was asked for: from trained weights the default rate is another.
    training = base.training.model_dump(mode="json", exclude_unset=True) | {"epochs": length.epochs}
    tree = base.model_dump(mode="json") | {"title": f"{base.teacher.net}: {trial.words}", "training": training}
    tree["data"]["image_size"] = list(trial.input_shape[1:])
    if length.share < 1 and base.data.limit is not None:
        tree["data"]["limit"] = max(1, round(length.share * base.data.limit))
    elif length.share < 1:
        tree["data"]["fraction"] = length.share * (base.data.fraction or 1)
    tree["student"] = {"edits": list(trial.edits), "init": "teacher"}
    steps = length.steps(num_images, batch)
    method = method_for_steps(trial, steps)
    fields = _fitting(round(length.share * num_images), steps * batch) if method == FITTED else {}
    tree["methods"] = {STUDENT: {"method": method} | fields}
    return recipe_from(tree, (), origin="the candidate")


def method_for_steps(trial: Trial, steps: int) -> str | None:
    """The method of a training of so many steps: few are too few for shortcuts to fade, where blocks can be fitted."""
    return FITTED if fits(trial) and steps < FEWEST_FADED_STEPS else trial.method


def fits(trial: Trial) -> bool:
    """Whether the student's blocks can be fitted: it is the teacher without shortcuts, and no edit lets them fade."""
    fading = any("with_fading_shortcuts" in edit for edit in trial.edits)
    return trial.method is not None and method_class(trial.method).starts_as_teacher and not fading


def fitting_share(trials: Iterable[Trial], steps: int) -> float:
    """The most time that the fitting of any of the students takes, as a share of its training's of so many steps."""
    return max((FITTING_SHARE for trial in trials if method_for_steps(trial, steps) == FITTED), default=0.0)


def _fitting(num_images: int, seen: int) -> dict[str, float]:
    """How blocks are fitted before a training on so many images that sees ``seen`` of them: more images before passes.

    Beyond `FitKD`'s defaults nothing is gained.
    """
    usual = FitKD()
    most = FITTING_SHARE * seen / usual.images_to_prepare(1) * usual.passes  # images times passes
    images = max(2, min(usual.images, num_images, max(_FEWEST_FITTED, round(most / _FEWEST_PASSES))))
    return {"images": images, "passes": min(usual.passes, most / images)}


def usable(answers: Sequence[BudgetAnswer]) -> Iterator[tuple[BudgetAnswer, Candidate]]:
    """The students that meet the budget or may do so, each network once, in the order in which they are tried.

    The first of every kind of edits, then the second; kinds in the order of their first ones, sizes in turn.
    """
    kinds = [_kinds(answer) for answer in answers]
    in_turn = [kind for turn in zip_longest(*kinds) for kind in turn if kind]
    for turn in zip_longest(*in_turn):
        yield from filter(None, turn)


def _kinds(answer: BudgetAnswer) -> list[list[tuple[BudgetAnswer, Candidate]]]:
    """By their kinds, one edit before several together; those with groups, whose convolutions begin anew, last."""
    kinds: dict[frozenset[str], list[tuple[BudgetAnswer, Candidate]]] = {}
    for candidate in (answer.own, *answer.candidates):
        if candidate.is_usable and not candidate.student.sub_net:
            kinds.setdefault(candidate.student.kinds, []).append((answer, candidate))
    return [kinds[kind] for kind in sorted(kinds, key=lambda kind: (kinds[kind][0][1].student.groups > 1, len(kind)))]


def _label(words: str, taken: Sequence[str]) -> str:
    """Words as the name of a file that no other one has."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:60]
    numbered = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in numbered if each not in taken)
