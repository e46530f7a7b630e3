"""Options for what a budget can limit."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer


def with_limits(command: Any) -> Any:
    """A command with an option for every limit that a measure has, in the place of its ``**most``, if it has them."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(own) == len(signature.parameters):
        return command
    from unskip.measures import limits

    options = []
    for name, (_, limit) in limits().items():
        option = typer.Option(metavar="MOST", help=f"{limit.help[:1].upper()}{limit.help[1:]}.")
        kind = inspect.Parameter.KEYWORD_ONLY
        options.append(inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option]))
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = signature.replace(parameters=[*parameters[:1], *options, *parameters[1:]])
    command.__annotations__ = {name: each.annotation for name, each in command.__signature__.parameters.items()}
    return command
