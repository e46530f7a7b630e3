"""The library's sentences in the words of a command.

The library names arguments and recipe keys in backticks. Where the running command has an option for one, its reader
types that: `` `data` `` becomes ``--data``, `` `data.workers` `` becomes ``--set data.workers=..``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from unskip.errors import UnskipError

_NAMED = re.compile(r"`([a-z]\w*(?:\.\w+)*)(=[^`]*)?`")


class Command(TyperCommand):
    """A command whose refusals name its own options."""

    def invoke(self, context: Any) -> Any:
        """Carry the command out."""
        try:
            return super().invoke(context)
        except UnskipError as error:
            raise UnskipError(as_typed(str(error), self.params)) from error


def as_typed(sentence: str, parameters: Sequence[Any]) -> str:
    """A sentence with what a command has an option or an argument for as its reader types it."""

    def typed(match: re.Match[str]) -> str:
        name, value = match[1], match[2] or ""
        # An option may be called as another command's argument is: what is typed decides.
        option = f"--{name.replace('_', '-')}"
        for parameter in sorted(parameters, key=lambda parameter: option not in parameter.opts):
            if option in parameter.opts or name == parameter.name:
                return _parameter(parameter, value)
            scope, key, _ = (parameter.metavar or "").partition("KEY=VALUE")
            if key and name.startswith(scope) and _is_recipe_key(name):
                return f"{parameter.opts[0]} {shlex.quote(name + (value or '=..'))}"
        return match[0]

    return _NAMED.sub(typed, sentence)


def _is_recipe_key(name: str) -> bool:
    from unskip.recipe import Recipe

    section, dot, _ = name.partition(".")
    return bool(dot) and section in Recipe.model_fields


def _parameter(parameter: Any, value: str) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    value = "" if parameter.is_flag else value.replace("=", " ")
    return f"{parameter.opts[0]}{value}"
