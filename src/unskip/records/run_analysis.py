"""What an analysis of trained runs found, as ``analyses/NAME.json`` in a run's folder holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from unskip.records.figures import Record
from unskip.records.reading import read_record

Color = Annotated[int, Field(ge=0)]


class AnalyzedRun(Record):
    """A run that was looked at: under which label, where it lies, and its seed."""

    label: str
    path: str
    seed: int


class Claim(Record):
    """What a paper says, and whether it shows here.

    ``statement`` is the paper's, ``source`` the paper and the place in it. It means here that ``figure`` of the
    network ``better`` is above that of ``than``, at the point of training that ``when`` names, by default at its end.
    ``mean`` is that of the ``seeds`` differences, each within a seed,
    ``low`` and ``high`` its 95 % interval, None for one seed; all are None where there is nothing to compare,
    which ``why`` says then.
    """

    statement: str
    source: str
    figure: str
    better: str
    than: str
    when: str = ""
    verdict: Literal["holds", "reversed", "not shown"]
    mean: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    seeds: int = 0
    why: str = ""

    @model_validator(mode="after")
    def _founded(self) -> Claim:
        if self.verdict != "not shown" and (self.low is None or self.high is None):
            raise ValueError(f"{self.statement!r} cannot be statement without an interval over seeds")
        return self


class WordTable(Record):
    """Figures as they are written: ``columns`` head the cells of each row, the first of which names it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    @model_validator(mode="after")
    def _rectangular(self) -> WordTable:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.title}: every row needs {len(self.columns)} cells")
        return self


class PlotLine(Record):
    """Points of a curve; ``y`` is None where there is none, ``spread`` the half of a band around it."""

    label: str
    color: Color
    x: tuple[FiniteFloat, ...]
    y: tuple[FiniteFloat | None, ...]
    spread: tuple[FiniteFloat | None, ...] = ()


class Lines(Record):
    """Curves in one picture, over numbers or, with ``ticks``, over names: the place ``x`` stands at ``ticks[x]``."""

    kind: Literal["lines"] = "lines"
    title: str
    x_title: str
    y_title: str
    ticks: tuple[str, ...] = ()
    logarithmic: bool = False
    lines: tuple[PlotLine, ...]


class Cloud(Record):
    """Points of one kind."""

    label: str
    x: tuple[FiniteFloat, ...]
    y: tuple[FiniteFloat, ...]


class Clouds(Record):
    """Points of several kinds in one picture, from ``-reach`` to ``reach`` on both axes."""

    kind: Literal["clouds"] = "clouds"
    title: str
    color: Color
    reach: FiniteFloat
    clouds: tuple[Cloud, ...]


class Surface(Record):
    """Heights over a square: ``z[row][column]`` at ``(places[column], places[row])``, coloured from low to high."""

    kind: Literal["surface"] = "surface"
    title: str
    color: Color
    places: tuple[FiniteFloat, ...]
    z: tuple[tuple[FiniteFloat, ...], ...]
    low: FiniteFloat
    high: FiniteFloat
    z_title: str


Plot = Annotated[Lines | Clouds | Surface, Field(discriminator="kind")]


class PlotGroup(Record):
    """Plots that belong side by side, with what must be known to read them."""

    title: str
    caption: str = ""
    plots: tuple[Plot, ...]


class RunAnalysis(Record):
    """One analysis of runs: ``how`` says what was computed on what, ``figures`` holds every number as plain data."""

    name: str
    title: str
    unskip: str
    runs: tuple[AnalyzedRun, ...] = Field(min_length=1)
    how: str
    claims: tuple[Claim, ...] = ()
    tables: tuple[WordTable, ...] = ()
    plots: tuple[PlotGroup, ...] = ()
    figures: dict[str, Any] = Field(default_factory=dict)

    @property
    def statements(self) -> list[list[list[Claim]]]:
        """The claims of each statement, those of one figure together."""
        by_statement: dict[str, dict[str, list[Claim]]] = {}
        for claim in self.claims:
            by_statement.setdefault(claim.statement, {}).setdefault(claim.figure, []).append(claim)
        return [list(by_figure.values()) for by_figure in by_statement.values()]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, each once, in order."""
        return tuple(sorted({run.seed for run in self.runs}))


def read_run_analyses(folder: Path) -> list[RunAnalysis]:
    """Those in the files of a folder, by their names; none where there is no folder."""
    return [
        read_record(
            RunAnalysis,
            path,
            missing="it was there a moment ago",
            contents="an analysis of runs",
            remedy="delete it, or analyse the run again",
        )
        for path in sorted(folder.glob("*.json"))
    ]
