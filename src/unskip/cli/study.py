"""``unskip study``: a table of many runs, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from unskip.cli import _completion
from unskip.cli._console import Progress, out, print_pairs
from unskip.cli._ending import ExitCode
from unskip.cli._options import AllowedModules
from unskip.listing import listed_names


def study(
    name: Annotated[
        str | None,
        typer.Argument(
            autocompletion=_completion.studies, help="A name, or a YAML file. Without one: list the studies."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Run its quick form, for a machine without a GPU.")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=1000, metavar="NUMBER", help="Runs of each cell: seeds 0, 1 ..")] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=LABEL[,LABEL]", help="Run only cells with these labels of an axis. Repeat for more axes."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the number of trainings, which are shared, and how long they take; train and write nothing.",
        ),
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            autocompletion=_completion.data,
            help="The images, as for `unskip run`; NAME=DATA for each data set if the study has several.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="By default a folder below study-runs/.")
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            autocompletion=_completion.engines,
            help=f"Where cells run: {', '.join(listed_names('unskip.study.engines'))}.",
        ),
    ] = "local",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--on-set", metavar="NAME=VALUE", help="A setting of the engine, such as gpus=1. Repeat for more."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            metavar="NUMBER",
            help="The most cells to run at once; by default as many as there is room for.",
        ),
    ] = None,
    launch: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help='What starts each cell, such as "torchrun --nproc-per-node 8".'),
    ] = None,
    allowed: AllowedModules = None,
) -> None:
    r"""Run a study: every cell of a table, with seeds, and the table beside the paper's.

    Each cell is an ordinary run in the study's folder; a teacher that several need is trained once. If the command is
    stopped or killed, the same command continues. If a cell fails, the others go on, and the exit code is 1.

    For example:

    ```text
    unskip study
    unskip study alignkd-table1 --quick --data cifar10=CIFAR --dry-run
    unskip study demystification-table3 --only student=g2 --seeds 3 --on slurm --on-set gpus=1
    unskip study mine.yaml --jobs 4
    ```
    """
    if name is None:
        _list()
        return
    from unskip.report.studies import show_study
    from unskip.study.conducting import conduct, planned, prepare
    from unskip.study.console import show_plan
    from unskip.study.engines import make_engine
    from unskip.study.reading import load_study
    from unskip.study.running import Launch
    from unskip.study.task import parsed_launch

    asked = load_study(name, quick=quick)
    where = folder or Path("study-runs") / f"{asked.name}{'-quick' * quick}"
    engine = make_engine(on, settings or (), jobs=jobs)
    start = Launch(parsed_launch(launch), tuple(allowed or ()))
    prepared = prepare(asked, where, seeds=range(seeds), data=data or (), only=only or ())
    if dry_run:
        with Progress() as progress:
            progress.say("reading the images, and taking a few steps of every kind of training")
            plan = planned(prepared, engine=engine, measured=progress.counted)
        show_plan(asked, plan, prepared.chosen, engine, out)
        out.print("nothing was trained or written", highlight=False)
        return
    with Progress() as progress:
        record, outcome = conduct(
            prepared, engine, launch=start, console=out, say=progress.say, measured=progress.counted
        )
    out.print()
    show_study(record, out)
    out.print(f"\npage: {where / 'study.html'}", highlight=False, soft_wrap=True)
    for why, runs in _by_reason(outcome.failed).items():
        some = ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
        out.print(f"failed: {some}: {why}", highlight=False, markup=False, soft_wrap=True)
    if outcome.failed:
        raise typer.Exit(ExitCode.NOT_MET)


def _by_reason(failed: Mapping[str, str]) -> dict[str, list[str]]:
    """The runs that failed, by why they did."""
    runs_of: dict[str, list[str]] = {}
    for run, why in failed.items():
        runs_of.setdefault(why, []).append(run)
    return runs_of


def _list() -> None:
    from unskip.listing import named_studies
    from unskip.study.reading import load_study

    lines = []
    for known in named_studies():
        form = load_study(known).form
        small = f" (quick: about {form.quick.minutes:g} min)" if form.quick and form.quick.minutes else ""
        lines.append((known, f"{form.title}{small}"))
    print_pairs(lines)
