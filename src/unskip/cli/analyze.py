"""``unskip analyze``: what trained runs show of the papers' claims."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskip.cli import _completion
from unskip.cli._console import Progress, out
from unskip.cli._options import AllowedModules, names_in
from unskip.listing import listed_names


def analyze(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN..", help="Complete run folders of one data set: seeds and methods side by side."),
    ],
    what: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=_completion.run_analyses,
            help=f"Which analysis: {', '.join(listed_names('unskip.run_analyses'))}.",
        ),
    ],
    nets: Annotated[
        str | None,
        typer.Option(metavar="LABELS", help="Labels of networks in the runs, separated by commas; by default all."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="OPTION=VALUE", help="A setting of the analysis, such as images=500. Repeat for more."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every figure as JSON.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the analysis as a page.")
    ] = None,
    allowed: AllowedModules = None,
) -> None:
    """Analyse trained runs: activation clusters, loss landscape, feature reuse, gradient flow.

    Runs that differ only in the seed are repetitions, shown by mean and spread; others stand side by side. For every
    claim of a paper the output says whether these runs show it, by differences within seeds. The results are also
    written into each run's folder, as analyses/NAME.json, and appear in its report.html. To look at networks during
    training, set training.snapshots.

    Examples: `unskip analyze runs/demo --what clusters`,
    `unskip analyze runs/seed-* --what landscape --nets ce,kd --set images=500 --html landscape.html`.
    """
    from unskip.files import check_writable, write_json
    from unskip.recipe import parse_settings
    from unskip.report import write_report, write_run_analysis
    from unskip.run_analyses import analyze as analyze_runs

    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None:
            check_writable(file, option)
    for folder in folders:
        check_writable(folder / "analyses" / f"{what}.json", "RUN")
    with Progress() as progress:
        found = analyze_runs(folders, what, parse_settings(settings or ()), nets=names_in(nets or ""), say=progress.say)
    found.show(out)
    record, plain = found.record(), found.to_json()
    written = []
    for run in record.runs:
        write_json(Path(run.path) / "analyses" / f"{record.name}.json", plain)
        written.append(write_report(Path(run.path)))
    if json_file is not None:
        write_json(json_file, plain)
        written.append(json_file)
    if html_file is not None:
        write_run_analysis(record, html_file)
        written.append(html_file)
    for file in written:
        out.print(str(file), highlight=False, soft_wrap=True)
