"""``unskip fit-budget``: the students that would meet a budget."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from unskip.cli import _completion
from unskip.cli._console import Progress, out
from unskip.cli._ending import ExitCode
from unskip.cli._options import (
    AllowedModules,
    AsJson,
    Compiles,
    Device,
    ImageSize,
    MemoryMode,
    NetSettings,
    Optimise,
    SystemConfig,
    device_in,
    parse_size,
    runtimes_here,
)
from unskip.errors import UnskipError


def fit_budget(
    net: Annotated[
        str,
        typer.Argument(
            autocompletion=_completion.nets,
            help="The teacher: a name from `unskip nets`, a file with weights whose network is known, or a run folder.",
        ),
    ],
    element: Annotated[
        Literal["float32", "int8"] | None,
        typer.Option(
            help="Type of feature maps and weights: int8 counts one byte per element. By default float32, "
            "with --target int8."
        ),
    ] = None,
    target: Device = None,
    system_config: SystemConfig = None,
    memory_mode: MemoryMode = None,
    optimise: Optimise = None,
    compiles: Compiles = None,
    runtime: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=_completion.runtimes,
            help=f"Where untrained exports are timed: {runtimes_here()}.",
        ),
    ] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of the runtime.")] = 1,
    image_size: ImageSize = None,
    settings: NetSettings = None,
    limit: Annotated[int, typer.Option(min=1, help="The most students to list.")] = 10,
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Only count; export and time nothing.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write a recipe for every student listed.")
    ] = None,
    as_json: AsJson = False,
    allowed: AllowedModules = None,
    **most: str | None,
) -> None:
    """List the students of a network that would meet a budget, before any training.

    Students are plain or partly plain, shallower, grouped, with a lean stem, or combinations; sub-nets share the
    weights of one network. Memory, parameters and MACs are counted; a few students within these limits are exported
    untrained and measured beside NET. With --target they are compiled for a device instead, in as many processes as
    there are cores; results are cached. Students that change least come first. Each line is a recipe for `unskip run`.
    If nothing meets the budget, the exit code is 1.

    Examples: `unskip fit-budget resnet18 --memory 2MiB`, `unskip fit-budget resnet50 --memory 5MiB --latency-ratio
    0.8 --out students`, `unskip fit-budget resnet56 --macs 60M --element int8 --no-latency --json`,
    `unskip fit-budget resnet18 --target ethos-u65-256 --cycles-ratio 0.7`.
    """
    import torch

    from unskip.files import check_writable
    from unskip.recipe import parse_settings
    from unskip.search import MAX_COMPILED, Budget, render_answer
    from unskip.search import fit_budget as find_students
    from unskip.targets import resolve_net, trained_file

    if folder is not None:
        check_writable(folder / "recipe.yaml", "--out")
    device = device_in(target, system_config, memory_mode, optimise)
    if compiles is not None and device is None:
        raise UnskipError("`compiles` belongs to `target`")
    element = element or ("int8" if device else "float32")
    budget = Budget({name: text for name, text in most.items() if text is not None}, element)
    weights = trained_file(net)
    with nullcontext() if weights else torch.device("meta"):
        teacher, shape = resolve_net(net, parse_settings(settings or ()), image_size=parse_size(image_size))
    with Progress() as progress:
        answer = find_students(
            teacher,
            shape,
            budget,
            limit=limit,
            latency=not no_latency,
            runtime=runtime,
            threads=threads,
            device=device,
            compiles=compiles or MAX_COMPILED,
            weights=weights,
            progress=progress.say,
            compiled=progress.counted,
        )
    written = answer.write_recipes(folder) if folder else []
    if as_json:
        typer.echo(json.dumps(answer.to_json() | {"written": list(map(str, written))}, indent=1))
    else:
        render_answer(answer, out, written)
    if not answer.fits:
        raise typer.Exit(ExitCode.NOT_MET)
