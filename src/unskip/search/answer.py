"""The answer to a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unskip.records import About, Figure, Load, Record
from unskip.runtimes import Configuration
from unskip.search.budget import Budget
from unskip.search.recipes import entries, write_recipe
from unskip.search.student import Student
from unskip.search.would_meet import WouldMeet

Verdict = Literal["meets", "borderline", "exceeds", "not exported", "not measured"]


@dataclass(frozen=True)
class Candidate:
    """A student, what it costs, and how it can be trained.

    ``figures`` are what is counted of it and what its exported file gave, by measure and by relative limit.
    ``verdict``: ``meets`` every limit, ``borderline`` where the spread of a figure covers one, or what is wrong:
    ``exceeded`` limits, or why a file was ``refused``. ``recipe`` is plain data as `recipe_from` takes it, ``file`` a
    name for it, ``command`` the command that trains the student from the weights of the network, MY_WEIGHTS where the
    file is not known; the network itself has none.
    """

    student: Student
    figures: Mapping[str, Figure]
    verdict: Verdict
    exceeded: tuple[str, ...] = ()
    refused: str = ""
    recipe: Mapping[str, Any] | None = None
    file: str = ""
    command: str | None = None

    @property
    def method(self) -> str | None:
        """The method of its recipe."""
        return next(iter(self.recipe["methods"])) if self.recipe else None

    @property
    def is_usable(self) -> bool:
        """Whether it meets the budget or may do so."""
        return self.verdict in ("meets", "borderline")

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return {
            "student": str(self.student),
            "edits": entries(self.student.edits),
            "sub_net": self.student.sub_net,
            "shortcuts": self.student.shortcuts,
            "figures": {name: figure.model_dump(exclude_defaults=True) for name, figure in self.figures.items()},
            "verdict": self.verdict,
            "exceeded": list(self.exceeded),
            "not_exported": self.refused or None,
            "method": self.method,
            "recipe": self.recipe,
            "command": self.command,
        }


@dataclass(frozen=True)
class BudgetAnswer:
    """Which students of a network meet a budget.

    ``own`` is the network itself; ``candidates`` are those shown, the ones that meet the budget first, and among these
    the one that changes least: that keeps the most MACs, then the most shortcuts, then the most parameters.
    ``num_searched`` students were counted, ``num_within`` are within all limits of what is counted, and ``num_thinned``
    of these are left out because another one, with the same kinds of edits or fewer, changes less and is no larger in
    any limited figure. ``num_usable`` meet the budget or are borderline, as far as is known. ``num_measured`` were
    exported and measured in ``runtime``, None where nothing was, on a machine with this ``load``; with a ``device``
    they were compiled for it by the compiler ``runtime``. ``num_left`` could have been measured and were not.

    ``smallest`` are the students with the smallest value of each limited figure that is counted, ``nearest`` is the one
    that exceeds these limits least, ``nearest_measured`` the one of those measured that uses up the smallest share of
    the other limits. ``measures`` says what the figures are. ``skipped`` counts edits that do not fit, by the reason.
    ``would_meet`` is filled where nothing meets the budget: what no edit changes and would meet it, such as smaller
    images. ``unknown`` says of which modules nobody knows the shortcuts, since they could not be opened; it is empty
    where there are none.
    """

    net: str
    input_shape: tuple[int, int, int]
    budget: Budget
    own: Candidate
    candidates: tuple[Candidate, ...]
    num_searched: int
    num_within: int
    num_thinned: int
    num_usable: int
    num_measured: int
    num_left: int
    runtime: str | None
    threads: int
    device: Configuration | None
    load: Load | None
    smallest: Mapping[str, Candidate]
    nearest: Candidate
    nearest_measured: Candidate | None
    measures: Mapping[str, About]
    skipped: Mapping[str, int]
    unknown: str
    would_meet: tuple[WouldMeet, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether anything meets the budget, the network itself included, or may meet it: borderline counts."""
        return any(candidate.is_usable for candidate in (self.own, *self.candidates))

    @property
    def best(self) -> Candidate | None:
        """The first candidate, if it meets the budget or is borderline."""
        first = self.candidates[0] if self.candidates else None
        return first if first and first.is_usable else None

    @property
    def near(self) -> list[tuple[str, Candidate]]:
        """The candidates that come nearest, none of them twice, each with what it comes nearest to, in words."""
        named = [("all limits", self.nearest)]
        named += [(self.budget.limit_of(name), candidate) for name, candidate in self.smallest.items()]
        named += [("what was measured", self.nearest_measured)] if self.nearest_measured else []
        near = {candidate.student: candidate for _, candidate in named if candidate.student != self.own.student}
        return [
            (", ".join(words for words, other in named if other.student == student), candidate)
            for student, candidate in near.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON; edits and recipes can stand in a file as they are."""
        budget = {"limits": dict(self.budget.limits), "element": self.budget.element}
        device = self.device and {"target": self.device.target, "setting": dict(self.device.setting)}
        own = {"budget": budget, "device": device, "fits": self.fits}
        return {name: _plain(value) for name, value in vars(self).items()} | own

    def write_recipes(self, folder: Path) -> list[Path]:
        """Write a recipe for every one that meets the budget or is borderline, one for sub-nets trained together."""
        files: dict[str, list[Candidate]] = {}
        for candidate in self.candidates:
            if candidate.recipe is not None and candidate.is_usable:
                files.setdefault(candidate.file, []).append(candidate)
        for name, candidates in files.items():
            remarks = ["From `unskip fit-budget`: `unskip run FILE --data IMAGES`.", *map(self._remark, candidates)]
            assert candidates[0].recipe is not None
            write_recipe(folder / name, candidates[0].recipe, remarks)
        return [folder / name for name in files]

    def _remark(self, candidate: Candidate) -> str:
        values = {about.title: candidate.figures.get(name, Figure()).value for name, about in self.measures.items()}
        return f"{candidate.student}: {', '.join(f'{title} {value:,g}' for title, value in values.items() if value)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Candidate | WouldMeet):
        return value.to_json()
    if isinstance(value, Record):
        return value.model_dump()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
