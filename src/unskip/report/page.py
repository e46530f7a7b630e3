"""The page: results, tables and plots poured into one self-contained HTML file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from unskip.files import write_text
from unskip.report import plots, tables
from unskip.report.record import Run
from unskip.report.summary import summarise
from unskip.report.units import byte_unit, duration

__all__ = ["render", "write_report"]


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
    environment = Environment(
        loader=PackageLoader("unskip.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    peaks = run.memory.nets
    return environment.get_template("page.html.j2").render(
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
        memory_wide=plots.memory_plot(run, 1040),
        memory_narrow=plots.memory_plot(run, 480),
        peak=byte_unit([peaks.teacher.peak_bytes, peaks.student.peak_bytes]),
        recipe=yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True),
        started=_readable(run.started),
        took=duration(run.seconds),
    )


def _readable(iso_time: str) -> str:
    """An ISO time to the minute, with its zone; anything else as it is."""
    try:
        return datetime.fromisoformat(iso_time).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return iso_time
