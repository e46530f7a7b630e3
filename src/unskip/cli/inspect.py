"""``unskip inspect``: what removal will give, before any training."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from unskip.analyses import ANALYSES
from unskip.cli._console import out
from unskip.cli._options import AllowedModules, AsJson, ImageSize, NetSettings, parse_size


def inspect(
    net: Annotated[
        str, typer.Argument(help="A name from `unskip nets`, a .safetensors file of a run, or a run folder.")
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
    as_json: AsJson = False,
    allowed: AllowedModules = None,
) -> None:
    """Say what removing a network's shortcuts will give, before any training.

    Prints parameters, MACs, every shortcut with the bytes it holds and for how long, the memory that lives at every
    operation with and without shortcuts, and one sentence saying whether removal pays.

    Examples: `unskip inspect resnet50`, `unskip inspect resnet20 --set num_classes=100 --json`,
    `unskip inspect wrn-22x2 --edit 'with_grouped_convs: {groups: 2}'`, `unskip inspect resnet34 --edit 'at_depth:
    {blocks: [2, 2, 2, 2]}'`, `unskip inspect resnet18 --also plan`.
    """
    from unskip.analyses import inspect_net
    from unskip.recipe import parse_edits, parse_settings
    from unskip.targets import resolve_net

    target = resolve_net(net, parse_settings(settings or ()), parse_edits(edits or ()), parse_size(image_size))
    inspection = inspect_net(*target, also=also or ())
    if as_json:
        typer.echo(json.dumps(inspection.to_json(), indent=1))
    else:
        inspection.show(out)


def _slow_analyses() -> list[str]:
    return [name for name, analysis in ANALYSES.items() if analysis.takes_time]
