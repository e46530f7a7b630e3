"""``unskip shrink``: from a budget to a proven file."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from unskip.cli import _completion
from unskip.cli._console import Progress, out
from unskip.cli._ending import ExitCode
from unskip.cli._options import (
    AllowedModules,
    Compiles,
    DataName,
    ImageSize,
    MemoryMode,
    Optimise,
    SystemConfig,
    device_in,
    finite,
    parse_size,
    runtimes_here,
)
from unskip.errors import UnskipError


def shrink(
    net: Annotated[
        str,
        typer.Argument(
            autocompletion=_completion.nets,
            help="The network with shortcuts: a name, a run folder, or a file of weights.",
        ),
    ],
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Its weights, trained on such images; without them it is trained first."),
    ] = None,
    initial_weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Weights to begin its training with, such as pretrained ones."),
    ] = None,
    data: DataName = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help=f"What the file is for: {runtimes_here()}, or a device such as ethos-u55-128. By default onnxruntime.",
        ),
    ] = None,
    accuracy_drop: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, callback=finite, metavar="POINTS", help="The most that accuracy may fall, in points."
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Total time, such as 45m or 4h; by default as long as the preset takes."),
    ] = None,
    preset: Annotated[
        Literal["quick", "good", "best"],
        typer.Option(
            help="Number of candidates (3, 6 or 12), of students that are compiled for a device (10, 24 or 48), and "
            "without --time how long the winner trains."
        ),
    ] = "good",
    element: Annotated[
        Literal["float32", "int8"] | None,
        typer.Option(help="What the file computes in. By default float32, for a device int8."),
    ] = None,
    system_config: SystemConfig = None,
    memory_mode: MemoryMode = None,
    optimise: Optimise = None,
    compiles: Compiles = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of the runtime.")] = 1,
    image_size: ImageSize = None,
    smaller: Annotated[
        list[str] | None,
        typer.Option(
            "--or-image-size",
            metavar="SIZE",
            help="Another image size that the file may use, such as 48, or 96x64. Repeat for more.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of all random choices.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A field of the recipe, such as training.batch_size=32. Repeat for more."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="By default a folder below shrinks/.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only evaluate the teacher, plan, and say how long it will take.")
    ] = False,
    allowed: AllowedModules = None,
    **most: str | None,
) -> None:
    r"""Make a network meet a budget, keep its accuracy, and prove both on the file.

    Students that meet the budget (without shortcuts, shallower, grouped, with a lean stem, or combinations) are trained
    from the network's weights: each for a short time, the best of them for longer, and the winner for the time that is
    left. Its file is proved on the test images, and a page shows what was tried. If the command is stopped, the same
    command continues. If the budget is not met, the exit code is 1.

    For example:

    ```text
    unskip shrink runs/demo --memory 8KiB --time 5m
    unskip shrink torchvision:resnet50 --weights mine.pth --data PHOTOS \
      --target ethos-u65-256 --cycles-ratio 0.7 --time 4h
    unskip shrink resnet18 --weights mine.pth --data PHOTOS --memory 1.5MiB --accuracy-drop 1
    ```
    """
    from unskip.own_code import allow_module_of
    from unskip.recipe import digest
    from unskip.report import show_shrink
    from unskip.runtimes import names_here
    from unskip.shrink import Request, base_recipe, plan_shrink, show_plan
    from unskip.shrink import shrink as make
    from unskip.units import seconds_from

    device, runtime = None, "onnxruntime"
    if target is not None and target.replace("-", "_") in names_here():
        runtime = target
    if target is None or runtime == target:
        device_in(None, system_config, memory_mode, optimise)  # they belong to a device
    else:
        device = device_in(target, system_config, memory_mode, optimise)
    if compiles is not None and device is None:
        raise UnskipError("`compiles` belongs to a device as the `target`")
    allow_module_of(net)
    recipe = base_recipe(
        net,
        weights=weights,
        initial_weights=initial_weights,
        data=data,
        image_size=parse_size(image_size),
        settings=settings or (),
        seed=seed,
    )
    request = Request(
        recipe=recipe,
        limits={name: text for name, text in most.items() if text is not None},
        element=element or ("int8" if device else "float32"),
        device=device,
        runtime=runtime,
        threads=threads,
        accuracy_drop=accuracy_drop,
        seconds=None if time is None else seconds_from(time, "time"),
        preset=preset,
        compiles=compiles,
        image_sizes=[size for size in map(parse_size, smaller or ()) if size],
    )
    if dry_run:
        with Progress() as progress:
            plan = plan_shrink(request, console=out, say=progress.say, compiled=progress.counted)
        show_plan(plan, request, out)
        if not (plan.meets or plan.trials):
            raise typer.Exit(ExitCode.NOT_MET)
        return
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(net).name if Path(net).exists() else net).strip("-.")
    where = folder or Path("shrinks") / f"{name}-{digest(request.to_json())[:6]}"
    command = shlex.join(["unskip", *sys.argv[1:]])
    with Progress() as progress:
        record = make(request, where, command=command, console=out, say=progress.say, compiled=progress.counted)
    show_shrink(record, out)
    out.print(f"\nreport: {where / 'report.html'}", highlight=False, soft_wrap=True)
    if record.outcome in ("not met", "cannot be met"):
        raise typer.Exit(ExitCode.NOT_MET)
