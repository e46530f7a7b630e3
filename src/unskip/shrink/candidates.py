"""Which students are tried, and how each of them is trained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from unskip.errors import UnskipError
from unskip.recipe import Recipe, recipe_from
from unskip.records import Trial
from unskip.requested import check_nets
from unskip.search import BudgetAnswer, Candidate
from unskip.search.recipes import entries
from unskip.shrink.lengths import Length

STUDENT = "student"
"""The label of the network that a recipe trains."""

_FADING = {"without_shortcuts": "with_fading_shortcuts"}


def candidates_of(answer: BudgetAnswer, recipe: Recipe, count: int) -> list[Trial]:
    """The students that are tried, at most ``count``: of every kind of edits the least changed first, then the next.

    Sub-nets are the same networks as students of fewer blocks, and need no trial of their own. Students that no method
    can train from the teacher's weights are left out.
    """
    trials: list[Trial] = []
    for candidate in _varied([each for each in answer.candidates if each.is_usable and not each.student.sub_net]):
        if len(trials) == count:
            break
        way = _way_to_train(candidate, recipe)
        if way is None:
            continue
        edits, method = way
        label = _label(str(candidate.student), [trial.label for trial in trials])
        trials.append(
            Trial(
                label=label,
                words=str(candidate.student),
                edits=tuple(edits),
                method=method,
                input_shape=answer.input_shape,
                shortcuts=candidate.student.shortcuts,
                figures=dict(candidate.figures),
            )
        )
    return trials


def recipe_of(base: Recipe, trial: Trial, length: Length) -> Recipe:
    """The recipe that trains a student for so long, and nothing else."""
    training = base.training.model_copy(update={"epochs": length.epochs})
    tree = base.model_dump(mode="json") | {"title": f"{base.teacher.net}: {trial.words}"}
    tree |= {"training": training.model_dump(mode="json")}
    if length.share < 1 and base.data.limit is not None:
        tree["data"]["limit"] = max(1, round(length.share * base.data.limit))
    elif length.share < 1:
        tree["data"]["fraction"] = length.share * (base.data.fraction or 1)
    return _for_student(tree, list(trial.edits), trial.method or "kd")


def _varied(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """The first of every kind of edits, then the second, in the order of the first ones."""
    kinds: dict[object, list[Candidate]] = {}
    for candidate in candidates:
        kinds.setdefault(candidate.student.kinds, []).append(candidate)
    for turn in zip_longest(*kinds.values()):
        yield from filter(None, turn)


def _way_to_train(candidate: Candidate, recipe: Recipe) -> tuple[list[Any], str] | None:
    """The edits to begin with, and the first method that takes them: shortcuts fade where they can."""
    edits = entries(candidate.student.edits)
    fading = [_faded(entry) for entry in edits]
    ways = [(fading, "fade_kd")] if fading != edits else []
    for start, method in [*ways, (edits, "align_kd"), (edits, "kd")]:
        try:
            check_nets(_for_student(recipe.model_dump(mode="json"), start, method))
        except UnskipError:
            continue
        return start, method
    return None


def _for_student(tree: dict[str, Any], edits: list[Any], method: str) -> Recipe:
    """A recipe of a student that begins with the teacher's weights."""
    tree["student"] = {"edits": edits, "init": "teacher"}
    tree["methods"] = {STUDENT: {"method": method}}
    return recipe_from(tree, (), origin="the candidate")


def _faded(entry: Any) -> Any:
    if isinstance(entry, str):
        return _FADING.get(entry, entry)
    return {_FADING.get(name, name): arguments for name, arguments in entry.items()}


def _label(words: str, taken: Sequence[str]) -> str:
    """Words as the name of a file that no other one has."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:60]
    numbered = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in numbered if each not in taken)
