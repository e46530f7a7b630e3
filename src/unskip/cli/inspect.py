"""``unskip inspect``: what removal will give, before any training."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated, Any

import typer

from unskip.analyses import ANALYSES, Target
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
)
from unskip.errors import UnskipError


def inspect(
    net: Annotated[
        str,
        typer.Argument(
            autocompletion=_completion.nets,
            help="A name from `unskip nets`, a file with weights whose network is known, or a run folder.",
        ),
    ],
    image_size: ImageSize = None,
    settings: NetSettings = None,
    edits: Annotated[
        list[str] | None,
        typer.Option(
            "--edit",
            metavar="EDIT",
            help="Change the net first: NAME or 'NAME: {argument: value}'. Repeat for more, in order.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"An analysis that takes time: {', '.join(_slow_analyses())}. Repeat for more.",
        ),
    ] = None,
    target: Device = None,
    system_config: SystemConfig = None,
    memory_mode: MemoryMode = None,
    optimise: Optimise = None,
    sram: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="With --target: the SRAM that the device has for a program, such as 256KiB; its compiler is told. "
            "If the network does not fit, the exit code is 1.",
        ),
    ] = None,
    compiles: Compiles = None,
    details: Annotated[
        bool,
        typer.Option("--details", help="Also every shortcut, the memory of every part, and the peak by schedule."),
    ] = False,
    as_json: AsJson = False,
    allowed: AllowedModules = None,
) -> None:
    """Show what removing a network's shortcuts would gain, before any training.

    One sentence says whether removal pays; below it stand parameters, MACs and live feature maps, with and without
    shortcuts. --details adds every shortcut with the bytes it holds and for how long, the memory of every part, and
    the peak by schedule. With --target, that sentence goes by the figures of the device's compiler, which also says
    whether the network fits its SRAM. For a file with weights (.safetensors, .pth, ..) it first says which network they
    belong to: this package's, torchvision's or timm's, recognised by the names and shapes of the tensors.

    Examples: `unskip inspect resnet50 --details`, `unskip inspect resnet20 --set num_classes=100 --json`,
    `unskip inspect mine.pth`,
    `unskip inspect wrn-22x2 --edit 'with_grouped_convs: {groups: 2}'`, `unskip inspect resnet34 --edit 'at_depth:
    {blocks: [2, 2, 2, 2]}'`, `unskip inspect resnet18 --also plan`,
    `unskip inspect resnet50 --target ethos-u55-128 --sram 256KiB`, `unskip inspect resnet18 --target ethos-u65-256
    --also plan`.
    """
    import torch

    from unskip.analyses import inspect_net
    from unskip.analyses.device import Device as DeviceAnalysis
    from unskip.targets import recognised, resolve_net, trained_file

    device = _target(target, system_config, memory_mode, optimise, sram, compiles)
    file = trained_file(net)
    with out.status(f"looking whose weights {net} holds") if file else nullcontext():
        recognition = recognised(file) if file else None
    named = ":" not in net and file is None  # one of ours, of which nothing that is said here depends on its weights
    with torch.device("meta") if named and not edits and device is None else nullcontext():
        network = resolve_net(net, *_changes(settings, edits), parse_size(image_size))
    with Progress(lines=not as_json) as progress:
        on = None if device is None else replace(device, compiled=progress.counted)
        progress.say("looking at the network" if on is None else f"compiling for {on.device.target}")
        inspection = inspect_net(*network, also=also or (), target=on)
    if as_json:
        typer.echo(
            json.dumps(inspection.to_json() | ({"recognised": recognition.to_json()} if recognition else {}), indent=1)
        )
    else:
        if recognition:
            out.print(f"{net} holds the weights of {recognition}: all of its {recognition.of} tensors", highlight=False)
            if image_size is None:
                _, height, width = inspection.input_shape
                out.print(
                    f"Figures are for images of {height}x{width}, as the file does not say their size; --image-size "
                    "takes another.",
                    highlight=False,
                )
        inspection.show(out, details=details)
        if not details:
            out.print("[dim]Every shortcut, the memory of every part, and other schedules: --details[/dim]")
    fit = inspection.analyses.get("device")
    if isinstance(fit, DeviceAnalysis) and fit.fits is False:
        raise typer.Exit(ExitCode.NOT_MET)


def _changes(
    settings: list[str] | None, edits: list[str] | None
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """A net's options and edits. What reads them, with all that a recipe may hold, is imported where there are some."""
    if not settings and not edits:
        return {}, []
    from unskip.recipe import parse_edits, parse_settings

    return parse_settings(settings or ()), parse_edits(edits or ())


def _target(
    name: str | None,
    system_config: str | None,
    memory_mode: str | None,
    optimise: str | None,
    sram: str | None,
    compiles: int | None,
) -> Target | None:
    """The device that the options name, its compiler told of the SRAM where it can be."""
    from unskip.runtimes import Estimator, find_runtime
    from unskip.units import bytes_from

    device = device_in(name, system_config, memory_mode, optimise)
    if device is None:
        for option, value in {"sram": sram, "compiles": compiles}.items():
            if value is not None:
                raise UnskipError(f"`{option}` belongs to `target`")
        return None
    size = None if sram is None else int(bytes_from(sram, "sram"))
    runtime = find_runtime(device.runtime)
    assert isinstance(runtime, Estimator)
    return Target(device if size is None else runtime.with_sram(device, size), size, compiles)


def _slow_analyses() -> list[str]:
    return [name for name, analysis in ANALYSES.items() if analysis.takes_time]
