"""Settings as strict, frozen data, and validation errors in the reader's words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, create_model

from unskip.errors import UnskipError, nearest, shortened

_MOST_MISTAKES = 5  # that a sentence names
_WORDS = {  # of pydantic, in turn, and ours
    "Value error, ": "",
    "Field required": "is missing",
    "Input should": "must",
    "be greater than or equal to": "be at least",
    "be less than or equal to": "be at most",
    "a valid integer, got a number with a fractional part": "a whole number",
    "a valid integer, unable to parse string as an integer": "a whole number",
    "a valid integer": "a whole number",
    "a valid number, unable to parse string as a number": "a number",
    "a valid number": "a number",
    "a valid boolean, unable to interpret input": "true or false",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid list": "a list",
    "a valid tuple": "a list",
    "a valid dictionary or object to extract fields from": "a group of settings",
    "a valid dictionary": "a group of settings",
}


class Section(BaseModel):
    """A group of settings: immutable, no unknown keys, no silent conversions, no infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _OpenSection(Section):
    """Settings of which some go on to where they are checked."""

    model_config = ConfigDict(extra="allow")


def _one_line(title: str) -> str:
    if not title.isprintable():
        raise ValueError("a title is one line without control characters")
    return title


Title = Annotated[str, AfterValidator(_one_line)]
"""The heading of a page."""


def arguments_of(function: Callable[..., Any]) -> type[Section]:
    """The keyword-only arguments of a function as settings, and any others where it has ``**options``.

    Those that a `functools.partial` fixes are none.
    """
    fixed = function.keywords if isinstance(function, partial) else {}
    function = function.func if isinstance(function, partial) else function
    parameters = inspect.signature(function).parameters.values()
    named = function if inspect.isroutine(function) else type(function).__call__
    hints = get_type_hints(named, include_extras=True)
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in fixed
    }
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return create_model(named.__name__, __base__=_OpenSection if is_open else Section, **fields)


def checked_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """All keyword-only arguments of a function, the defaults filled in. `UnskipError` for what does not fit."""
    model = arguments_of(function)
    try:
        return model.model_validate(dict(arguments)).model_dump(mode="json")
    except ValidationError as error:
        raise UnskipError(explain(error, model, origin)) from error


def explain(error: ValidationError, model: type[BaseModel], origin: str) -> str:
    """A validation error in the reader's words: where, what was given, what was expected, the nearest right key."""
    lines = []
    for item in error.errors():
        *parents, last = [str(part) for part in item["loc"]] or [""]
        key, owners = _resolve(model, parents)
        if item["type"] == "union_tag_invalid":
            tags = str(item["ctx"]["expected_tags"]).replace("'", "").split(", ")
            stated = str(item["ctx"]["tag"])
            key = _resolve(model, [*parents, last])[0]
            lines.append(f"{key}.name: no {shortened(stated)!r}{nearest(stated, tags)} (known: {', '.join(tags)})")
        elif item["type"] == "extra_forbidden":
            fields = sorted({name for owner in owners for name in owner.model_fields})
            near = nearest(last, fields) or f"; known here: {', '.join(fields)}"
            lines.append(f"{_join(key, shortened(last))}: unknown key{near}")
        elif isinstance(item.get("ctx", {}).get("error"), UnskipError):
            lines.append(str(item["ctx"]["error"]))  # it names its place itself
        else:
            stated = (
                "" if isinstance(item["input"], dict | BaseModel) else f" (given: {shortened(repr(item['input']))})"
            )
            lines.append(_in_our_words(_resolve(model, [*parents, last])[0], item["msg"]) + stated)
    more = f"; and {len(lines) - _MOST_MISTAKES:,} more" if len(lines) > _MOST_MISTAKES else ""
    return f"{origin}: " + "; ".join(lines[:_MOST_MISTAKES]) + more


def _in_our_words(place: str, message: str) -> str:
    """What pydantic says of the value in a place, as one would say it of a setting."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    if not place:
        return message
    return f"{place} {message}" if message.startswith(("must ", "is ")) else f"{place}: {message}"


def _resolve(model: type[BaseModel], location: Sequence[str]) -> tuple[str, list[type[BaseModel]]]:
    """The dotted key of a place as it is written in a recipe, and the models that may stand there.

    pydantic's path also holds the names of union members (``optimizer.sgd.lr``), which no recipe has.
    """
    key = ""
    owners: list[type[BaseModel]] = [model]
    for part in location:
        members = [owner for owner in owners if _tag(owner) == part]
        if members:
            owners = members
            continue
        key = _join(key, part)
        fields = [owner.model_fields[part] for owner in owners if part in owner.model_fields]
        if fields:  # else an index or a key of a container, whose members are the models that its field names
            owners = [found for field in fields for found in _models_in(field.annotation)]
    return key, owners


def _join(key: str, part: str) -> str:
    return f"{key}.{part}" if key and part else key or part


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _tag(model: type[BaseModel]) -> str | None:
    """What names this member of a union: the only value that its field ``name`` takes."""
    field = model.model_fields.get("name")
    return field.default if field is not None and get_args(field.annotation) == (field.default,) else None
