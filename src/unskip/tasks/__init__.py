"""What a network answers, what that is compared with, and how well it does; a task is one file here."""

from unskip.tasks.base import Answers, Predict, Score, Task
from unskip.tasks.classification import Classification

__all__ = ["Answers", "Classification", "Predict", "Score", "Task"]
