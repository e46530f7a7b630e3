"""The formats by name, and found by a file's ending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unskip.errors import UnskipError
from unskip.export.base import Format
from unskip.export.executorch import ExecuTorch
from unskip.export.onnx import Onnx
from unskip.export.openvino import OpenVino
from unskip.export.torch import Torch
from unskip.settings import nearest

__all__ = ["FORMATS", "find_format", "format_for"]

FORMATS: Mapping[str, Format] = {format_.name: format_ for format_ in (Onnx(), ExecuTorch(), OpenVino(), Torch())}


def find_format(name: str) -> Format:
    """A format by its name; `UnskipError` with the known ones for another name."""
    if name not in FORMATS:
        raise UnskipError(f"no export format {name!r}; known: {', '.join(FORMATS)}{nearest(name, FORMATS)}")
    return FORMATS[name]


def format_for(path: Path) -> Format:
    """The format that a file's ending names; `UnskipError` with the known ones for another ending."""
    for format_ in FORMATS.values():
        if path.suffix.lower() == format_.ending:
            return format_
    known = ", ".join(f"{format_.ending} ({format_.name})" for format_ in FORMATS.values())
    raise UnskipError(f"no export format for {str(path)!r}; known endings: {known}")
