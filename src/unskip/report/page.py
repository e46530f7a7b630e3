"""The page: results, tables and plots poured into one self-contained HTML file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unskip.files import write_text
from unskip.report import plots, tables
from unskip.report.memory import DrawnTimeline, memory_plot
from unskip.report.pareto import Point, pareto_plot
from unskip.report.record import Run
from unskip.report.summary import summarise
from unskip.units import byte_unit, duration

__all__ = ["fill", "readable_time", "render", "write_report"]


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` beside the ``run.json`` of a finished run and return its path.

    The file needs nothing but itself: no scripts, no network, no fonts. It appears whole or not at all.

    Raises:
        UnskipError: The folder holds no ``run.json``, or one that cannot be read.
    """
    path = Path(run_folder) / "report.html"
    write_text(path, render(Run.read(path.parent)))
    return path


def render(run: Run) -> str:
    """The whole page as HTML; the same run gives the same bytes."""
    peaks = run.memory.nets
    return fill(
        "page.html.j2",
        title=run.title,
        unskip=run.unskip,
        run=run,
        summary=summarise(run),
        key_figures=tables.key_figures(run),
        columns=tables.net_columns(run),
        rows=tables.net_rows(run),
        files=tables.file_rows(run),
        accuracy=[
            ("By epoch", plots.accuracy_plot(run, "epoch")),
            ("By training time", plots.accuracy_plot(run, "seconds")),
        ],
        losses=[(run.training_of(n), plots.color_index(run, n.label), svg) for n, svg in plots.loss_plots(run)],
        pareto=_pareto(run),
        memory_wide=_memory(run, 1040),
        memory_narrow=_memory(run, 480),
        peak=byte_unit([peaks.teacher.peak_bytes, peaks.student.peak_bytes]),
        recipe=yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True),
        started=readable_time(run.started),
        took=duration(run.seconds),
    )


def fill(template: str, **values: Any) -> str:
    """A template of this folder as HTML; values are escaped unless they are markup."""
    environment = Environment(
        loader=PackageLoader("unskip.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def _memory(run: Run, width: int) -> Markup:
    nets = run.memory.nets
    drawn = [
        DrawnTimeline("teacher", nets.teacher, 0, False),
        DrawnTimeline("student", nets.student, plots.color_index(run, run.best), True),
    ]
    return memory_plot(drawn, f"memory-{width}", width)


def _pareto(run: Run) -> list[tuple[str, Markup]]:
    """All nets by their accuracy and what they cost."""
    unit = byte_unit(net.peak_bytes for net in run.nets)
    memory = [
        Point(net.label, net.peak_bytes / unit.size, net.top1, plots.color_index(run, net.label)) for net in run.nets
    ]
    latency = [
        Point(
            net.label,
            net.latency.median_ms,
            net.top1,
            plots.color_index(run, net.label),
            (net.latency.low_ms, net.latency.high_ms),
        )
        for net in run.nets
        if net.latency
    ]
    drawn = {
        "Memory": pareto_plot(memory, f"peak of live feature maps, {unit.name}", "pareto-memory"),
        "Latency": pareto_plot(latency, "latency, ms", "pareto-latency"),
    }
    return [(name, svg) for name, svg in drawn.items() if svg is not None]


def readable_time(iso_time: str) -> str:
    """An ISO time to the minute, with its zone; anything else as it is."""
    try:
        return datetime.fromisoformat(iso_time).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return iso_time
