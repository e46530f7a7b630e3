"""What a network answers, what that is compared with, and how well it does; a task is one file here."""

from unskip.listing import Listing
from unskip.tasks.base import Answers, Predict, Score, Task
from unskip.tasks.classification import Classification
from unskip.tasks.matching import Matching

__all__ = ["TASKS", "Answers", "Classification", "Matching", "Predict", "Score", "Task"]

TASKS = Listing(__name__, Task, "task")  # type: ignore[type-abstract]
"""By name."""
