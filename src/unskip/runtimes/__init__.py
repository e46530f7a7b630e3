"""Runtimes that run deployed files: one runtime a file, found by listing this folder.

None imports torch unless it is built on it, so that a process which measures a file holds no more than it needs.
"""

from __future__ import annotations

from pathlib import Path

from unskip.errors import UnskipError
from unskip.listing import Listing
from unskip.runtimes.base import Images, Outputs, Program, Runtime

__all__ = [
    "RUNTIMES",
    "Images",
    "Outputs",
    "Program",
    "Runtime",
    "ending_of",
    "find_runtime",
    "read_metadata",
    "runtime_for",
    "runtimes",
]

RUNTIMES: Listing[Runtime] = Listing(__name__, Runtime, "runtime")  # type: ignore[type-abstract]


def find_runtime(name: str) -> Runtime:
    """A runtime by its name; `UnskipError` with the known ones for another name."""
    return RUNTIMES[name]()


def runtimes() -> list[Runtime]:
    """All runtimes, installed or not."""
    return [runtime() for runtime in RUNTIMES.values()]


def ending_of(path: Path) -> str:
    """The ending by which a deployed file is known, such as .onnx or .ncnn.param; for other files, the last one."""
    endings = {ending for runtime in runtimes() for ending in runtime.endings}
    known = [ending for ending in endings if path.name.lower().endswith(ending)]
    return max(known, key=len, default=path.suffix.lower())


def runtime_for(path: Path) -> Runtime:
    """The runtime that a file was written for, by its ending; `UnskipError` for an unknown ending."""
    for runtime in runtimes():
        if ending_of(path) == runtime.endings[0]:
            return runtime
    known = ", ".join(runtime.endings[0] for runtime in runtimes())
    raise UnskipError(f"{path} is no deployed file; known endings: {known}")


def read_metadata(path: str | Path) -> dict[str, str]:
    """What was written into a deployed file beside the network; see :meth:`Runtime.read_metadata`."""
    return runtime_for(Path(path)).read_metadata(Path(path))
