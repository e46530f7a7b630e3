"""``unskip fit-budget``: the students that would meet a budget."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from unskip.cli._console import out
from unskip.cli._ending import ExitCode
from unskip.cli._options import AllowedModules, AsJson, ImageSize, NetSettings, finite, parse_size
from unskip.errors import UnskipError


def fit_budget(
    net: Annotated[
        str,
        typer.Argument(help="The teacher: a name from `unskip nets`, a .safetensors file of a run, or a run folder."),
    ],
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Most live feature maps at any time, such as 4MiB.")
    ] = None,
    parameters: Annotated[str | None, typer.Option(metavar="NUMBER", help="Most parameters, such as 5M.")] = None,
    macs: Annotated[str | None, typer.Option(metavar="NUMBER", help="Most MACs for an image, such as 800M.")] = None,
    file_size: Annotated[str | None, typer.Option(metavar="SIZE", help="Largest file, such as 20MB.")] = None,
    latency_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            callback=finite,
            help="Most time, as a share of NET's on this machine, such as 0.8.",
        ),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", callback=finite, help="Most milliseconds for an image on this machine."),
    ] = None,
    element: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="What feature maps and weights will be: int8 counts one byte for each element."),
    ] = "float32",
    runtime: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Where untrained exports are timed: onnxruntime, executorch, openvino, torch."
        ),
    ] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of the runtime.")] = 1,
    image_size: ImageSize = None,
    settings: NetSettings = None,
    limit: Annotated[int, typer.Option(min=1, help="Most students to list.")] = 10,
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Only count; export and time nothing.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write a recipe for every student listed.")
    ] = None,
    as_json: AsJson = False,
    allowed: AllowedModules = None,
) -> None:
    """List the students of a network that would meet a budget, before any training.

    Students are plain or partly plain, shallower, grouped, with a lean stem, or several of these; sub-nets share the
    weights of one network. Memory, parameters and MACs are counted; of those within these limits, a few are exported
    untrained and timed beside NET. First come those that change least. Each line is a recipe for `unskip run`. Where
    nothing meets the budget, the exit code is 1.

    Examples: `unskip fit-budget resnet18 --memory 2MiB`, `unskip fit-budget resnet50 --memory 5MiB --latency-ratio
    0.8 --out students`, `unskip fit-budget resnet56 --macs 60M --element int8 --no-latency --json`.
    """
    import torch

    from unskip.files import check_writable
    from unskip.recipe import parse_settings
    from unskip.search import Budget, render_fit
    from unskip.search import fit_budget as find_students
    from unskip.targets import resolve_net, trained_file
    from unskip.units import bytes_from, count_from

    if folder is not None:
        check_writable(folder / "recipe.yaml", "--out")
    budget = Budget(
        peak_bytes=None if memory is None else bytes_from(memory, "memory"),
        parameters=None if parameters is None else count_from(parameters, "parameters"),
        macs=None if macs is None else count_from(macs, "macs"),
        file_bytes=None if file_size is None else bytes_from(file_size, "file_size"),
        latency_ratio=latency_ratio,
        latency_ms=latency_ms,
        element=element,
    )
    if budget.limits_latency and no_latency:
        raise UnskipError("`no_latency` and a limit of latency exclude each other: latency is measured, not forecast")
    weights = trained_file(net)
    with nullcontext() if weights else torch.device("meta"):
        teacher, shape = resolve_net(net, parse_settings(settings or ()), image_size=parse_size(image_size))
    with out.status("counting") as status:
        fit = find_students(
            teacher,
            shape,
            budget,
            limit=limit,
            latency=not no_latency,
            runtime=runtime,
            threads=threads,
            weights=weights,
            progress=status.update,
        )
    written = fit.write_recipes(folder) if folder else []
    if as_json:
        typer.echo(json.dumps(fit.to_json() | {"written": list(map(str, written))}, indent=1))
    else:
        render_fit(fit, out, written)
    if not fit.fits:
        raise typer.Exit(ExitCode.NOT_MET)
