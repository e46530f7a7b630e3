"""What can be said of trained runs, side by side: one file for each analysis, found by listing this folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unskip.listing import Listing
from unskip.run_analyses._runs import Runs, Subject, TrainedRun, read_runs
from unskip.run_analyses.base import AnalysisOfRuns
from unskip.settings import checked_arguments

__all__ = ["RUN_ANALYSES", "AnalysisOfRuns", "Runs", "Subject", "TrainedRun", "analyze", "read_runs"]

RUN_ANALYSES: Listing[AnalysisOfRuns] = Listing(__name__, AnalysisOfRuns, "analysis of runs")  # type: ignore[type-abstract]


def analyze(
    folders: Sequence[Path],
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    nets: Collection[str] = (),
    say: Callable[[str], None] = lambda words: None,
) -> AnalysisOfRuns:
    """Analyse complete runs by one of `RUN_ANALYSES`; ``settings`` are the keyword arguments of its `of`.

    ``nets`` are the networks' labels in the runs, by default all; ``say`` is told what is being done. Raises
    `UnskipError` for a name or a setting that is none, and for runs that cannot be looked at, or not together.
    """
    kind = RUN_ANALYSES[name]
    arguments = checked_arguments(kind.of, settings or {}, name)
    return kind.of(read_runs(folders, nets=nets, say=say), **arguments)
