"""A figure of networks over their training, by seed: what is kept, its tables and its plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from unskip.records.run_analysis import AnalyzedRun, Lines, PlotLine, WordTable
from unskip.run_analyses._runs import Kind, Subject
from unskip.run_analyses._words import BySeed, as_they_are, half_band, mean_and_spread, mean_of, seeds_in_words


@dataclass(frozen=True)
class Course:
    """A figure of a network: ``figures[epochs][seed]``, after so many epochs, in order; the last are the trained."""

    label: str
    kind: Kind
    family: int
    color: int
    figures: dict[int, dict[int, float]] = field(default_factory=dict)

    @classmethod
    def begun(cls, subject: Subject) -> Course:
        """That of a network, without figures yet."""
        return cls(subject.label, subject.kind, subject.family, subject.color)

    def add(self, epochs: int, seed: int, figure: float) -> None:
        """Take in a figure."""
        self.figures.setdefault(epochs, {})[seed] = figure

    @property
    def end(self) -> BySeed:
        """Of the trained network."""
        return self.figures[max(self.figures)]


@dataclass(frozen=True)
class Family:
    """The courses of networks with one teacher and one student architecture."""

    courses: tuple[Course, ...]

    def first(self, *kinds: Kind) -> Course | None:
        """That of the first network of the first of these kinds that there is one of."""
        return next((course for kind in kinds for course in self.courses if course.kind == kind), None)

    @property
    def residual(self) -> Course | None:
        """Of a student with its shortcuts, or else the teacher."""
        return self.first("residual", "teacher")

    @property
    def plain(self) -> Course | None:
        """Of the network without shortcuts that was trained on the labels alone."""
        return self.first("plain")

    @property
    def distilled(self) -> Iterator[Course]:
        """Of networks without shortcuts that had a teacher."""
        return (course for course in self.courses if course.kind == "distilled")


def families_of(courses: Sequence[Course]) -> list[Family]:
    """The courses by family."""
    numbers = dict.fromkeys(course.family for course in courses)
    return [Family(tuple(course for course in courses if course.family == number)) for number in numbers]


def at_end(course: Course | None, kind: str, by: Callable[[BySeed], BySeed] = as_they_are) -> tuple[str, BySeed | None]:
    """A trained network as a claim takes it: its label and figures; the kind that there is none of, and None."""
    return (kind, None) if course is None else (course.label, by(course.end))


def after(
    course: Course | None, kind: str, epochs: int, by: Callable[[BySeed], BySeed] = as_they_are
) -> tuple[str, BySeed | None]:
    """The same after so many epochs."""
    if course is None or epochs not in course.figures:
        return kind, None
    return course.label, by(course.figures[epochs])


def end_table(title: str, figures: Mapping[str, Sequence[Course]], runs: Sequence[AnalyzedRun]) -> WordTable:
    """Several figures of the trained networks, a column each."""
    labels = [course.label for course in next(iter(figures.values()))]
    rows = tuple(
        (label, *(mean_and_spread(courses[place].end) for courses in figures.values()))
        for place, label in enumerate(labels)
    )
    return WordTable(title=title, columns=("network", *figures), rows=rows, caption=_seeds(runs))


def course_table(title: str, courses: Sequence[Course], runs: Sequence[AnalyzedRun]) -> WordTable:
    """One figure over training, a column for each number of epochs."""
    every = sorted({epochs for course in courses for epochs in course.figures})
    columns = ("network", *(f"epoch {epochs}" for epochs in every))
    rows = tuple(
        (course.label, *(mean_and_spread(course.figures.get(epochs, {})) for epochs in every)) for course in courses
    )
    return WordTable(title=title, columns=columns, rows=rows, caption=_seeds(runs))


def course_plot(title: str, y_title: str, courses: Sequence[Course], *, logarithmic: bool = False) -> Lines:
    """One figure over training, the mean of the seeds and their standard deviation."""
    return Lines(
        title=title,
        x_title="epochs",
        y_title=y_title,
        logarithmic=logarithmic,
        lines=tuple(
            PlotLine(
                label=course.label,
                color=course.color,
                x=tuple(course.figures),
                y=tuple(_drawable(mean_of(by_seed), logarithmic) for by_seed in course.figures.values()),
                spread=tuple(half_band(by_seed) for by_seed in course.figures.values()),
            )
            for course in courses
        ),
    )


def _drawable(value: float | None, logarithmic: bool) -> float | None:
    return None if value is None or (logarithmic and value <= 0) else value


def _seeds(runs: Sequence[AnalyzedRun]) -> str:
    return f"{seeds_in_words([run.seed for run in runs]).capitalize()}."
