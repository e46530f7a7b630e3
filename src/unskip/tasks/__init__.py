"""What a network answers, what that is compared with, and how well it does; a task is one file here."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from unskip.listing import Listing
from unskip.own_code import own_object, running_own_code
from unskip.tasks.base import Answers, Predict, Score, Task
from unskip.tasks.classification import Classification
from unskip.tasks.matching import Matching

__all__ = ["TASKS", "Answers", "Classification", "Matching", "Predict", "Score", "Task", "make_task"]

TASKS = Listing(__name__, Task, "task")  # type: ignore[type-abstract]
"""By name."""


def make_task(name: str, score: str | None = None) -> Task:
    """The task of a recipe, which gives a ``score``, a ``MODULE:FUNCTION`` of the user's own, to matching only.

    Raises `UnskipError` for a task that is none, and for a module that nobody allowed.
    """
    if score is None:
        return TASKS[name]()
    assert name == "matching"
    return Matching(score=_own_score(score))


def _own_score(source: str) -> Callable[[nn.Module], float]:
    function = own_object(source, "score", _is_function, "a function that takes a network")

    def score(net: nn.Module) -> float:
        with running_own_code(f"{source} cannot score the network"):
            return function(net)

    return score


def _is_function(value: Any, module: str) -> bool:
    return inspect.isfunction(value) and value.__module__.partition(".")[0] == module.partition(".")[0]
