"""Runs, shrinks and benchmarks as self-contained HTML pages: sentences, tables and plots poured into templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from markupsafe import escape

from unskip.files import write_text
from unskip.records import (
    Comparison,
    EightBits,
    Group,
    PastRuns,
    Run,
    RunAnalysis,
    Shrink,
    read_eight_bits,
    read_run_analyses,
)
from unskip.report.class_answers import shown_answers
from unskip.report.curves import loss_drawings, score_drawings
from unskip.report.devices import device_of, device_section
from unskip.report.drawings import colors_of, cost_drawings, memory_drawings
from unskip.report.eight_bits import eight_bits_table
from unskip.report.lines import files_table, nets_table, setting_of
from unskip.report.past_runs import cost_plots, course_plots, networks_table
from unskip.report.run_analyses import drawn_analysis
from unskip.report.sentences import TEMPLATES, sentences
from unskip.report.shrink_trials import tried_drawings, tried_table
from unskip.report.shrinks import definitions_of, side_by_side
from unskip.report.table import Table, definitions


@dataclass(frozen=True)
class Page:
    """A page that needs nothing but itself: no scripts, no network, no fonts. Notebooks show it."""

    html: str

    def write(self, path: Path | str) -> None:
        """Write it as a file, which appears whole or not at all."""
        write_text(Path(path), self.html)

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" style="width: 100%; height: 900px; border: 0"></iframe>'


def report_of(result: Run | Shrink | Comparison | Path | str) -> Page:
    """The page of a result, or of the folder of a run or of `unskip shrink`: ``report.html`` as it would be written.

    Raises `UnskipError` for a folder that holds neither, or one that cannot be read.
    """
    if isinstance(result, Run):
        return Page(render(result))
    if isinstance(result, Shrink):
        return Page(render_shrink(result))
    if isinstance(result, Comparison):
        return Page(render_bench(result))
    folder = Path(result)
    if (folder / "shrink.json").is_file():
        return Page(render_shrink(Shrink.read(folder)))
    analyses = read_run_analyses(folder / "analyses")
    return Page(render(Run.read(folder), read_eight_bits(folder / "int8"), analyses))


def write_report(folder: Path) -> Path:
    """Write ``report.html`` beside the ``run.json`` of a finished run, or a ``shrink.json``, and return its path.

    Raises `UnskipError` as :func:`report_of` does.
    """
    path = Path(folder) / "report.html"
    report_of(folder).write(path)
    return path


def write_report_so_far(run: Run, folder: Path, to_come: Sequence[str]) -> Path:
    """Write ``report.html`` of a run in which the trainings ``to_come`` are still ahead, and return its path.

    A browser that shows it reads it again from time to time, until the run is complete.
    """
    path = Path(folder) / "report.html"
    write_text(path, render(run, to_come=to_come))
    return path


def write_bench_report(comparison: Comparison, path: Path) -> None:
    """Write the page of a benchmark. It needs nothing but itself, and appears whole or not at all."""
    write_text(path, render_bench(comparison))


def write_run_analysis(record: RunAnalysis, path: Path) -> None:
    """Write the page of an analysis of runs. It needs nothing but itself, and appears whole or not at all."""
    write_text(path, render_run_analysis(record))


def render_run_analysis(record: RunAnalysis) -> str:
    """The whole page of an analysis of runs as HTML; the same record gives the same bytes."""
    return TEMPLATES.get_template("run_analysis.html.j2").render(
        title=", ".join(run.label for run in record.runs),
        unskip=record.unskip,
        pictures=False,
        drawn=drawn_analysis(record),
        sentences=sentences,
    )


def write_past_runs(record: PastRuns, path: Path) -> None:
    """Write the page of several runs. It needs nothing but itself, and appears whole or not at all."""
    write_text(path, render_past_runs(record))


def render_past_runs(record: PastRuns) -> str:
    """The whole page of several runs as HTML; the same runs give the same bytes."""
    nets = networks_table(record)
    return TEMPLATES.get_template("past_runs.html.j2").render(
        unskip=record.unskip,
        pictures=False,
        title=", ".join(run.label for run in record.runs),
        past=record,
        nets=nets,
        costs=cost_plots(record),
        courses=course_plots(record),
        definitions=definitions(nets),
        recipes={run.label: _as_yaml(run.results.recipe) for run in record.runs if run.results},
        sentences=sentences,
    )


def _as_yaml(recipe: dict[str, Any]) -> str:
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def render(
    run: Run,
    eight_bits: Sequence[EightBits] = (),
    analyses: Sequence[RunAnalysis] = (),
    *,
    to_come: Sequence[str] = (),
) -> str:
    """The whole page of a run as HTML; the same run gives the same bytes.

    ``eight_bits``: what 8 bits cost its networks, where they were exported so; ``analyses``: those that it was in;
    ``to_come``: the trainings that it still has ahead, before which no file is measured.
    """
    return _fill(
        "run.html.j2",
        run.comparison.model_copy(update={"groups": ()}) if to_come else run.comparison,
        nets_table(run.comparison, run),
        run.metric,
        title=run.title,
        run=run,
        to_come=to_come,
        pictures=bool(run.answers and run.answers.disagreements),
        answers=shown_answers(run.answers, "Student", colors_of(run.comparison)[run.best]) if run.answers else None,
        eight_bits=eight_bits_table(eight_bits, colors_of(run.comparison)) if eight_bits else None,
        memory=memory_drawings(run.comparison, run.best),
        scores=score_drawings(run),
        losses=loss_drawings(run),
        analyses=[drawn_analysis(analysis) for analysis in analyses],
        recipe=_as_yaml(run.recipe),
    )


def render_bench(comparison: Comparison) -> str:
    """The whole page of a benchmark as HTML; the same figures give the same bytes."""
    metric = next((name for name, about in comparison.measures.items() if about.kind == "answers"), None)
    title = ", ".join(subject.label for subject in comparison.subjects)
    return _fill(
        "comparison.html.j2",
        comparison,
        nets_table(comparison),
        metric,
        title=title,
        pictures=False,
        memory=memory_drawings(comparison),
    )


def render_shrink(record: Shrink) -> str:
    """The whole page of what `unskip shrink` found as HTML; the same record gives the same bytes."""
    answers, winner = record.answers, record.winner
    return TEMPLATES.get_template("shrink.html.j2").render(
        title=f"{record.net} on {record.data.name}, for {record.target}",
        unskip=record.unskip,
        shrink=record,
        pictures=True,
        beside=side_by_side(record) if winner else None,
        tried=tried_table(record) if record.trials else None,
        drawings=tried_drawings(record),
        answers=shown_answers(answers, "Winner", 1) if answers else None,
        definitions=definitions_of(record),
        recipe=yaml.safe_dump(winner.recipe, sort_keys=False, allow_unicode=True) if winner else None,
        sentences=sentences,
    )


def _fill(template: str, comparison: Comparison, nets: Table, metric: str | None, **values: Any) -> str:
    """A page as HTML, with what all pages have; values are escaped unless they are markup."""
    sections: list[dict[str, Any]] = [
        {
            "setting": _heading(comparison, group),
            "table": files_table(comparison, group),
            "costs": cost_drawings(comparison, group, metric, f"costs-{number}") if metric else (),
            "device": device_section(comparison, group, f"layers-{number}"),
        }
        for number, group in enumerate(comparison.groups)
    ]
    return TEMPLATES.get_template(template).render(
        values,
        unskip=comparison.unskip,
        comparison=comparison,
        nets=nets,
        sections=sections,
        definitions=definitions(nets, *chain.from_iterable(map(_tables, sections))),
        sentences=sentences,
    )


def _heading(comparison: Comparison, group: Group) -> str:
    """A device in short where the words of its configuration are explained below."""
    return f"{device_of(comparison, group)}, estimated by {group.runtime}" if group.meanings else setting_of(group)


def _tables(section: dict[str, Any]) -> list[Table]:
    """Those of a setting."""
    device = section["device"]
    return [
        section["table"],
        *([device.cycles] if device and device.bounds else ()),
        *([device.traffic] if device else ()),
    ]
