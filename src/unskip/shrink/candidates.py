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


def candidates_of(answers: Sequence[BudgetAnswer], recipe: Recipe, count: int) -> list[Trial]:
    """The students that are tried, at most ``count``: of every kind of edits the least changed first, then the next.

    The first of the ``answers`` is for images of the teacher's size, the others for smaller ones, on which the network
    as it is may keep the budget too. Sub-nets are the same networks as students of fewer blocks, and need no trial of
    their own. Students that no method can train from the teacher's weights are left out.
    """
    trials: list[Trial] = []
    for answer, candidate in _varied(answers):
        if len(trials) == count:
            break
        shape = answer.input_shape
        way = _way_to_train(candidate, recipe)
        if way is None:
            continue
        edits, method = way
        words = str(candidate.student)
        if answer is not answers[0]:
            words += f", images of {shape[1]}x{shape[2]}"
        trials.append(
            Trial(
                label=_label(words, [trial.label for trial in trials]),
                words=words,
                edits=tuple(edits),
                method=method,
                input_shape=shape,
                shortcuts=candidate.student.shortcuts,
                figures=dict(candidate.figures),
            )
        )
    return trials


def recipe_of(base: Recipe, trial: Trial, length: Length) -> Recipe:
    """The recipe that trains a student for so long, and nothing else."""
    tree = _tree(base) | {"title": f"{base.teacher.net}: {trial.words}"}
    tree["training"]["epochs"] = length.epochs
    tree["data"]["image_size"] = list(trial.input_shape[1:])
    if length.share < 1 and base.data.limit is not None:
        tree["data"]["limit"] = max(1, round(length.share * base.data.limit))
    elif length.share < 1:
        tree["data"]["fraction"] = length.share * (base.data.fraction or 1)
    return _for_student(tree, list(trial.edits), trial.method or "kd")


def _varied(answers: Sequence[BudgetAnswer]) -> Iterator[tuple[BudgetAnswer, Candidate]]:
    """The first of every kind of edits, then the second; kinds in the order of their first ones, sizes in turn."""
    kinds = [_kinds(answer) for answer in answers]
    in_turn = [kind for turn in zip_longest(*kinds) for kind in turn if kind]
    for turn in zip_longest(*in_turn):
        yield from filter(None, turn)


def _kinds(answer: BudgetAnswer) -> list[list[tuple[BudgetAnswer, Candidate]]]:
    kinds: dict[frozenset[str], list[tuple[BudgetAnswer, Candidate]]] = {}
    for candidate in (answer.own, *answer.candidates):
        if candidate.is_usable and not candidate.student.sub_net:
            kinds.setdefault(candidate.student.kinds, []).append((answer, candidate))
    return list(kinds.values())


def _way_to_train(candidate: Candidate, recipe: Recipe) -> tuple[list[Any], str] | None:
    """The edits to begin with, and the first method that takes them: shortcuts fade where they can."""
    edits = entries(candidate.student.edits)
    fading = [_faded(entry) for entry in edits]
    ways = [(fading, "fade_kd")] if fading != edits else []
    ways += [(edits, "align_kd"), (edits, "kd")] if edits else [(edits, "ce")]  # of itself it would learn nothing
    for start, method in ways:
        try:
            check_nets(_for_student(_tree(recipe), start, method))
        except UnskipError:
            continue
        return start, method
    return None


def _tree(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data, its training as it was asked for: the default rate is another from trained weights."""
    training = recipe.training.model_dump(mode="json", exclude_unset=True)
    return recipe.model_dump(mode="json") | {"training": training}


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
