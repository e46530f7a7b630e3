"""``unskip evaluate``: the accuracy of a trained network or a deployed file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unskip.cli._console import Progress, out
from unskip.cli._options import AllowedModules, DataName, DataSettings, FileDepth, NetLabel


def evaluate(
    target: Annotated[
        Path,
        typer.Argument(help="A run folder (its best student), a .safetensors file, or a deployed file of any format."),
    ],
    label: NetLabel = None,
    depth: FileDepth = None,
    data: DataName = None,
    settings: DataSettings = None,
    allowed: AllowedModules = None,
) -> None:
    """Score a trained network or a deployed file on test images: top-1 and top-5, or the scores of its task.

    Without labels the score is the agreement with the run's teacher. The data is that of the network's run, unless
    `--data` names other; `--set data.test_limit=1000` takes fewer images. A deployed file is run by its own runtime, on
    images prepared as its metadata says.

    Examples: `unskip evaluate runs/demo`, `unskip evaluate runs/demo --net teacher`,
    `unskip evaluate model.onnx --data MY_IMAGES`.
    """
    from unskip.deploying import evaluate_target

    with Progress() as progress:
        score = evaluate_target(target, data, settings or (), label=label, depth=depth, progress=progress.images)
    figures = "  ".join(f"{name.replace('top', 'top-')} {100 * share:.2f} %" for name, share in score.figures.items())
    chance = f", at chance: naming one class always gives {100 * (score.chance or 0):.2f} %" if score.at_chance else ""
    out.print(f"{figures}  on {score.images:,} images{chance}", highlight=False)
