"""What an analysis of runs is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Self

from rich.console import Console

from unskip.records import RunAnalysis
from unskip.records.run_analysis import AnalyzedRun, Claim, PlotGroup, WordTable
from unskip.report import show_run_analysis
from unskip.run_analyses._runs import Runs


@dataclass(frozen=True)
class AnalysisOfRuns(ABC):
    """What one analysis found in runs: the file's frozen dataclass, whose docstring says what the fields are.

    ``title`` heads it on pages. The head of the file is the card that docs show. Fields are plain data, which the JSON
    has under ``figures``.
    """

    title: ClassVar[str]

    runs: tuple[AnalyzedRun, ...]

    @classmethod
    @abstractmethod
    def of(cls, runs: Runs) -> Self:
        """Analyse runs; `UnskipError` where that cannot be done.

        What can be set are keyword-only arguments, with types, defaults and descriptions.
        """

    @abstractmethod
    def how(self) -> str:
        """What was computed, and on what, in sentences."""

    @abstractmethod
    def tables(self) -> Sequence[WordTable]:
        """The figures, mean and spread over seeds."""

    def claims(self) -> Sequence[Claim]:
        """What papers say of it, and whether it shows."""
        return ()

    def plots(self) -> Sequence[PlotGroup]:
        """What a page draws."""
        return ()

    def record(self) -> RunAnalysis:
        """Everything as a page, a terminal and a file take it."""
        figures = asdict(self)
        del figures["runs"]
        return RunAnalysis(
            name=type(self).__module__.rpartition(".")[2],
            title=self.title,
            unskip=version("unskip"),
            runs=self.runs,
            how=self.how(),
            claims=tuple(self.claims()),
            tables=tuple(self.tables()),
            plots=tuple(self.plots()),
            figures=figures,
        )

    def show(self, console: Console) -> None:
        """Print what was found."""
        show_run_analysis(self.record(), console)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return self.record().model_dump(mode="json")
