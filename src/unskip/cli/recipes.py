"""``unskip recipes``: the recipes that come with unskip."""

from __future__ import annotations

from typing import Annotated

import typer

from unskip.cli import _completion
from unskip.cli._console import print_pairs


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(autocompletion=_completion.recipes, help="Print this recipe, with every default filled in."),
    ] = None,
) -> None:
    """List the recipes that come with unskip, or print one; `unskip run NAME` runs it.

    Example: `unskip recipes demo > mine.yaml`, then change it and `unskip run mine.yaml`.
    """
    from unskip.listing import named_recipes
    from unskip.recipe.yaml_text import yaml_file

    if name is None:
        print_pairs((known, yaml_file(path)["title"]) for known, path in named_recipes().items())
        return
    from unskip.recipe import load_recipe  # which checks edits, and imports torch for it

    typer.echo(load_recipe(name).to_yaml(), nl=False)
