"""What a teacher and the network that takes its place answer to the same test images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from unskip.records.figures import Record, Share


class ClassAnswers(Record):
    """How many of a class's test images teacher and winner name rightly."""

    name: str
    images: int = Field(ge=0)
    teacher: int = Field(ge=0)
    winner: int = Field(ge=0)

    @property
    def gain(self) -> float:
        """How much the winner's accuracy is above the teacher's, as a share; 0 without images."""
        return (self.winner - self.teacher) / max(1, self.images)


class Confusion(Record):
    """How often teacher and winner answer ``answered`` to images that are ``true``, both numbers of classes."""

    true: int
    answered: int
    teacher: int
    winner: int


class Answer(Record):
    """The class that a network names, by its number, and the probability that it gives it."""

    answered: int
    probability: Share


class Disagreement(Record):
    """A test image, by its place among them, to which teacher and winner give different answers.

    ``distance`` is the total variation between their probabilities: the share that would have to move from class to
    class to turn the one into the other. ``png`` is the image as the teacher sees it, small, in base64.
    """

    index: int
    true: int
    teacher: Answer
    winner: Answer
    distance: Share
    png: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+=*$")]


class Answers(Record):
    """The answers of teacher and winner, the network or its file, to all test images.

    ``differing`` are the images to which they name different classes. ``confusions`` are the largest changes among
    the mistakes, ``disagreements`` the images on which the two are furthest apart, both the largest first.
    """

    images: int = Field(ge=1)
    differing: int = Field(ge=0)
    classes: tuple[ClassAnswers, ...] = Field(min_length=1)
    confusions: tuple[Confusion, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    @model_validator(mode="after")
    def _known_classes(self) -> Answers:
        named = [number for each in self.confusions for number in (each.true, each.answered)]
        for each in self.disagreements:
            named += [each.true, each.teacher.answered, each.winner.answered]
        if not all(0 <= number < len(self.classes) for number in named):
            raise ValueError(f"every class must be a number from 0 to {len(self.classes) - 1}, got {named}")
        return self
