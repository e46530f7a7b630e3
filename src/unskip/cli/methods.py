"""``unskip methods``: the distillation methods and their cards."""

from __future__ import annotations

from typing import Annotated

import typer

from unskip.cli import _completion
from unskip.cli._console import out, print_pairs


def methods(
    name: Annotated[
        str | None, typer.Argument(autocompletion=_completion.methods, help="Show this method's card and fields.")
    ] = None,
) -> None:
    """List the distillation methods, or show one: formula, defaults, when to use it, departures from its paper.

    Examples: `unskip methods`, `unskip methods align_kd`.
    """
    from rich.markdown import Markdown

    from unskip.methods import METHODS, method_class

    if name is None:
        print_pairs((known, METHODS.card(known).splitlines()[0]) for known in METHODS)
        return
    out.print(Markdown(METHODS.card(name)))
    out.print()
    fields = method_class(name).model_fields.items()
    print_pairs((f"methods.{name}.{field} = {info.default}", info.description or "") for field, info in fields)
