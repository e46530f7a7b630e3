"""Options for what a budget can limit."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from unskip.measures import limits


def with_limits(command: Any) -> Any:
    """A command with an option for every limit that a measure has, in the place of its ``**limits``."""
    signature = inspect.signature(command, eval_str=True)
    *own, _ = signature.parameters.values()
    options = []
    for name, (_, limit) in limits().items():
        option = typer.Option(metavar="MOST", help=f"{limit.help[:1].upper()}{limit.help[1:]}.")
        kind = inspect.Parameter.KEYWORD_ONLY
        options.append(inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option]))
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = signature.replace(parameters=[*parameters[:1], *options, *parameters[1:]])
    command.__annotations__ = {name: each.annotation for name, each in command.__signature__.parameters.items()}
    return command
