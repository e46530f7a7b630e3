"""Which column of a Parquet file holds the images and which the labels, and what their types say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from unskip.errors import UnskipError
from unskip.images import shown

_PREFERRED_LABELS = ("label", "labels", "fine_label")
_IMAGES = "images (structs with `bytes` or `path`, or binary)"
_LABELS = "labels (integers, strings, or booleans)"
_SHOWN = 12  # columns in a message


def choose_columns(schema: pa.Schema, image: str | None, label: str | None, file: Path) -> tuple[str, str]:
    """The columns of images and labels that were asked for, or the only ones that can be meant.

    `UnskipError` where that is unclear.
    """
    types = {field.name: field.type for field in schema}
    structs = [name for name, kind in types.items() if pa.types.is_struct(kind) and _is_image(kind)]
    binaries = [name for name, kind in types.items() if is_binary(kind)]
    image = _chosen("image", _IMAGES, [structs, binaries], (), image, [*structs, *binaries], schema, file)
    whole = [name for name, kind in types.items() if pa.types.is_integer(kind)]
    named = [name for name in whole if class_names(schema, name)]
    flags = [name for name, kind in types.items() if pa.types.is_boolean(kind)]
    texts = [name for name, kind in types.items() if _is_text(kind) or pa.types.is_dictionary(kind)]
    floats = [name for name, kind in types.items() if pa.types.is_floating(kind)]  # numbers, unless called labels
    possible = [*whole, *flags, *texts, *floats]
    label = _chosen("label", _LABELS, [named, whole, flags, texts], _PREFERRED_LABELS, label, possible, schema, file)
    return image, label


def class_names(schema: pa.Schema, label_column: str) -> tuple[str, ...]:
    """The names in the schema's Hugging Face metadata; none where there are none."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label_column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):  # optional, and anyone may have written it
        return ()
    return tuple(shown(str(name)) for name in names) if isinstance(names, list) else ()


def labels_as_read(column: pa.ChunkedArray, name: str, file: Path) -> pa.ChunkedArray:
    """Labels as int64, large_string or bool. `UnskipError` for numbers that are not whole."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_boolean(kind):
        return column
    if _is_text(kind):
        return column.cast(pa.large_string())
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        raise UnskipError(f"the column {name!r} of {file} holds {kind}, but expected {_LABELS}")
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise UnskipError(f"the column {name!r} of {file} holds numbers that are no classes: {error}") from error


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type holds bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_image(kind: pa.StructType) -> bool:
    return any(
        (field.name == "bytes" and is_binary(field.type)) or (field.name == "path" and _is_text(field.type))
        for field in kind.fields
    )


def _chosen(
    kind: str,
    content: str,
    tiers: Sequence[Sequence[str]],
    preferred: Sequence[str],
    asked: str | None,
    possible: Sequence[str],
    schema: pa.Schema,
    file: Path,
) -> str:
    """The column asked for, a preferred one, or the only one of the first tier that has any."""
    if asked is not None and asked in possible:
        return asked
    if asked is not None:
        raise UnskipError(
            f"data.{kind}_column: {asked!r} is no column of {content} in {file}; its columns are "
            f"{_listed(list(schema))}"
        )
    for name in preferred:
        if name in possible:
            return name
    first: Sequence[str] = next((tier for tier in tiers if tier), ())
    if len(first) == 1:
        return first[0]
    if first:
        raise UnskipError(
            f"{file} has more than one column of {content}; name the {kind} column with data.{kind}_column: "
            f"{_listed([field for field in schema if field.name in first])}"
        )
    raise UnskipError(f"{file} has no column of {content}; its columns are {_listed(list(schema))}")


def _listed(fields: Sequence[pa.Field]) -> str:
    def text(kind: Any) -> str:
        return str(kind) if len(str(kind)) < 60 else f"{str(kind)[:60]}..."

    more = f", ... ({len(fields)} in all)" if len(fields) > _SHOWN else ""
    return ", ".join(f"{field.name} ({text(field.type)})" for field in fields[:_SHOWN]) + more
