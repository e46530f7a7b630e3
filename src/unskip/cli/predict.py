"""``unskip predict``: what a trained network or a deployed file sees in images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unskip.cli._console import out
from unskip.cli._options import AllowedModules, AsJson, FileDepth, NetLabel
from unskip.errors import UnskipError


def predict(
    target: Annotated[
        Path,
        typer.Argument(help="A run folder (its best student), a .safetensors file, or a deployed file of any format."),
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE..", help="Images, and folders of images.")],
    label: NetLabel = None,
    depth: FileDepth = None,
    as_json: AsJson = False,
    allowed: AllowedModules = None,
) -> None:
    """Name the five likeliest classes of every image, with their probabilities.

    Images are prepared as the network's test images were, and a deployed file is run by its own runtime. An unreadable
    image is reported in its place, and the exit code is 2.

    Examples: `unskip predict runs/demo photo.jpg`, `unskip predict student.onnx PHOTOS --json`,
    `unskip predict runs/demo --net teacher a.png b.png`.
    """
    from rich.text import Text

    from unskip.images import shown
    from unskip.predicting import images_in, load_classifier

    files = images_in(images)
    classifier = load_classifier(target, label=label, depth=depth)
    unread, records = 0, []
    for prediction in classifier.predict(files):
        unread += prediction.unreadable is not None
        if as_json:
            records.append(prediction.to_json())
            continue
        out.print(Text(shown(prediction.image), style="bold"), soft_wrap=True)
        for name, probability in prediction.classes:
            out.print(f"  {100 * probability:6.2f} %  {name}", markup=False, highlight=False, soft_wrap=True)
        if prediction.unreadable:
            out.print(f"  {prediction.unreadable}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(records, indent=1))
    if unread:
        raise UnskipError(f"{unread} of {len(files)} images could not be read")
