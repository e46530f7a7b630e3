"""``unskip compare``: several runs on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskip.cli._console import out
from unskip.cli._options import AllowedModules


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN..", help="Run folders; unfinished ones are shown as far as they are.")
    ],
    html_file: Annotated[Path, typer.Option("--html", metavar="FILE", help="Where the page is written.")] = Path(
        "compare.html"
    ),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure as JSON.")
    ] = None,
    allowed: AllowedModules = None,
) -> None:
    """Put runs beside each other: scores, costs and the course of the trainings, in the terminal and on a page.

    Differences in test images or settings of measurement are pointed out. Nothing is trained or measured.

    Examples: `unskip compare runs/demo runs/demo-5b0e15`, `unskip compare runs/* --html runs.html`.
    """
    from unskip.files import check_writable, write_json
    from unskip.past_runs import read_past_runs
    from unskip.report import show_past_runs, write_past_runs

    for option, file in (("--html", html_file), ("--json", json_file)):
        if file is not None:
            check_writable(file, option)
    record = read_past_runs(runs)
    show_past_runs(record, out)
    write_past_runs(record, html_file)
    if json_file is not None:
        write_json(json_file, record.model_dump(mode="json"))
    for written in filter(None, (html_file, json_file)):
        out.print(str(written), highlight=False, soft_wrap=True)
