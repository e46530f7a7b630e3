"""``unskip report``: a run's report, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskip.cli._console import out


def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html again from a run's results, and print where it is.

    Example: `unskip report runs/demo`.
    """
    from unskip.report import write_report

    out.print(str(write_report(folder)), highlight=False, soft_wrap=True)
