"""The task section of a recipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from unskip.settings import Section


class TaskRecipe(Section):
    """What the networks answer, and what it is compared with; a name alone is enough, as in `task: matching`."""

    name: str = Field("classification", description="classification, or matching: no labels, any tensors as answers")
    score: str | None = Field(
        None,
        description="for matching: a `PACKAGE.MODULE:FUNCTION` of your own, which takes a network in eval mode and "
        "returns a number from 0 to 1, shown beside the agreement",
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        from unskip.tasks import TASKS

        return TASKS[name]().name

    @model_validator(mode="after")
    def _score_of_matching(self) -> TaskRecipe:
        if self.score is not None and self.name != "matching":
            raise ValueError(f"task.score belongs to matching, and the task here is {self.name}")
        return self

    @property
    def has_labels(self) -> bool:
        """Whether its images come with right answers."""
        from unskip.tasks import TASKS

        return TASKS[self.name].has_labels


def _section(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


TaskKey = Annotated[TaskRecipe, BeforeValidator(_section)]
