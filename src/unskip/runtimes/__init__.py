"""Runtimes that run deployed files: one runtime a file, found by listing this folder.

None imports torch unless it is built on it, so that a process which measures a file holds no more than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unskip.errors import UnskipError, nearest, shortened
from unskip.listing import Listing
from unskip.runtimes._estimator import SRAM, Configuration, Estimator
from unskip.runtimes.base import Images, Outputs, Program, Runtime

__all__ = [
    "RUNTIMES",
    "SRAM",
    "Configuration",
    "Estimator",
    "Images",
    "Outputs",
    "Program",
    "Runtime",
    "configured",
    "ending_of",
    "find_runtime",
    "names_here",
    "read_metadata",
    "runtime_for",
    "runtimes",
]

RUNTIMES: Listing[Runtime] = Listing(__name__, Runtime, "runtime")  # type: ignore[type-abstract]


def find_runtime(name: str) -> Runtime:
    """A runtime by its name; `UnskipError` with the known ones for another name."""
    return RUNTIMES[name.replace("-", "_")]()


def runtimes() -> list[Runtime]:
    """All runtimes, installed or not."""
    return [runtime() for runtime in RUNTIMES.values()]


def names_here() -> list[str]:
    """The names of the runtimes that run on this machine, installed or not."""
    return [name for name, runtime in RUNTIMES.items() if not issubclass(runtime, Estimator)]


def estimators() -> list[Estimator]:
    """The runtimes of devices that are not here, installed or not."""
    return [runtime for runtime in runtimes() if isinstance(runtime, Estimator)]


def configured(target: str, setting: Mapping[str, str] | None = None) -> Configuration:
    """A device by its name, such as ``ethos-u65-256``, with options of its setting, the usual ones for the others.

    Raises `UnskipError` for unknown names and values, and where the device's compiler is not installed.
    """
    spelt = target.strip().lower().replace("_", "-")
    known = [name for estimator in estimators() for name in estimator.targets]
    for estimator in estimators():
        if spelt in estimator.targets:
            return estimator.configured(spelt, setting or {})
    if kinds := [name for name in known if name.startswith(f"{spelt}-")]:
        raise UnskipError(f"there are several kinds of {shortened(target)}, one of which is wanted: {', '.join(kinds)}")
    raise UnskipError(f"no target {shortened(target)!r}{nearest(spelt, known)} (known: {', '.join(known)})")


def ending_of(path: Path) -> str:
    """The ending by which a file belongs to a runtime, the longest that fits; ``""`` where none does.

    ``net.ethos-u65-256.pte`` is no ordinary ``.pte``.
    """
    name = path.name.lower()
    fits = [ending for runtime in runtimes() for ending in runtime.endings if name.endswith(ending)]
    return max(fits, key=len, default="")


def runtime_for(path: Path) -> Runtime:
    """The runtime that a file was written for, by its ending; `UnskipError` for an unknown ending."""
    ending = ending_of(path)
    for runtime in runtimes():
        if ending in (runtime.endings if isinstance(runtime, Estimator) else runtime.endings[:1]):
            return runtime
    known = ", ".join(runtime.endings[0] for runtime in runtimes())
    raise UnskipError(f"{path} is no deployed file; known endings: {known}")


def read_metadata(path: str | Path) -> dict[str, str]:
    """What was written into a deployed file beside the network; see :meth:`Runtime.read_metadata`."""
    return runtime_for(Path(path)).read_metadata(Path(path))
