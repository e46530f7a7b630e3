"""Formats that networks are written in, one file each, found by listing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unskip.errors import UnskipError
from unskip.export.formats.base import Format
from unskip.listing import Instances
from unskip.runtimes import ending_of

__all__ = ["FORMATS", "find_format", "format_for"]

FORMATS: Mapping[str, Format] = Instances("unskip.export.formats", Format, "export format")  # type: ignore[type-abstract]


def find_format(name: str) -> Format:
    """A format by its name; `UnskipError` with the known ones for another name."""
    return FORMATS[name.replace("-", "_")]


def format_for(path: Path) -> Format:
    """The format that a file's ending names; `UnskipError` with the known ones for another ending."""
    ending = ending_of(path)
    for format_ in FORMATS.values():
        if ending in format_.endings:
            return format_
    known = ", ".join(f"{format_.ending} ({format_.name})" for format_ in FORMATS.values())
    raise UnskipError(f"no export format for {str(path)!r}; known endings: {known}")
