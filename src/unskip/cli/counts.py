"""``unskip counts``: what the papers print, and what this code counts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from unskip.cli._console import out
from unskip.cli._ending import ExitCode
from unskip.cli._options import AsJson


def counts(
    paper: Annotated[
        str | None, typer.Option(metavar="NAME", help="demystification, stagewise-kd or ekd-ddnn; all when left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the parameters, FLOPs and depths that papers print with those of this code's networks.

    A line for every figure; R and NR are a network with and without its shortcuts. Figures that differ because the
    paper slipped are explained. Any other difference is a fault of this code: exit code 1.

    Examples: `unskip counts --paper stagewise-kd`, `unskip counts --json`.
    """
    from unskip.papers import check_counts, render, summary

    with out.status("counting") as status:
        checked = check_counts(paper, lambda done, every: status.update(f"counted {done} of {every} figures"))
    if as_json:
        data = {"counts": [item.to_json() for item in checked], "summary": summary(checked)}
        typer.echo(json.dumps(data, indent=1))
    else:
        render(checked, out)
    if any(item.is_failure for item in checked):
        raise typer.Exit(ExitCode.NOT_MET)
