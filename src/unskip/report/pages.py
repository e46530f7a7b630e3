"""Runs, shrinks and benchmarks as self-contained HTML pages: sentences, tables and plots poured into templates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

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
from unskip.report.class_answers import MOST_CLASSES, classes_table, disagreements, mistakes_table
from unskip.report.curves import loss_drawings, score_drawings
from unskip.report.devices import device_of, device_section
from unskip.report.drawings import colors_of, cost_drawings, memory_drawings
from unskip.report.eight_bits import eight_bits_table
from unskip.report.lines import files_table, nets_table, setting_of
from unskip.report.past_runs import cost_plots, course_plots, networks_table
from unskip.report.run_analyses import drawn_analysis
from unskip.report.sentences import TEMPLATES, sentences
from unskip.report.shrinks import definitions_of, side_by_side
from unskip.report.table import Table, definitions
from unskip.report.tried import tried_drawings, tried_table


def write_report(folder: Path) -> Path:
    """Write ``report.html`` beside the ``run.json`` of a finished run, or a ``shrink.json``, and return its path.

    The file needs nothing but itself: no scripts, no network, no fonts. It appears whole or not at all.

    Raises:
        UnskipError: The folder holds neither, or one that cannot be read.
    """
    path = Path(folder) / "report.html"
    if (path.parent / "shrink.json").is_file():
        page = render_shrink(Shrink.read(path.parent))
    else:
        run, eight_bits = Run.read(path.parent), read_eight_bits(path.parent / "int8")
        page = render(run, eight_bits, read_run_analyses(path.parent / "analyses"))
    write_text(path, page)
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


def render(run: Run, eight_bits: Sequence[EightBits] = (), analyses: Sequence[RunAnalysis] = ()) -> str:
    """The whole page of a run as HTML; the same run gives the same bytes.

    ``eight_bits``: what 8 bits cost its networks, where they were exported so; ``analyses``: those that it was in.
    """
    return _fill(
        "run.html.j2",
        run.comparison,
        nets_table(run.comparison, run),
        run.metric,
        title=run.title,
        run=run,
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
        answers=answers,
        classes=classes_table(answers) if answers else None,
        every_class=classes_table(answers, every=True) if answers and len(answers.classes) > MOST_CLASSES else None,
        mistakes=mistakes_table(answers) if answers else None,
        shown=disagreements(answers) if answers else (),
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
        pictures=False,
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
