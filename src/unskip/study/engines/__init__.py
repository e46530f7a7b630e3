"""The ways to carry out a study's cells: a file each, its name is what ``on`` names."""

from __future__ import annotations

from collections.abc import Sequence

from unskip.errors import UnskipError
from unskip.listing import Listing
from unskip.recipe import parse_settings
from unskip.settings import checked_arguments
from unskip.study.engines.base import Engine

__all__ = ["ENGINES", "Engine", "make_engine"]

ENGINES: Listing[Engine] = Listing(__name__, Engine, "engine")  # type: ignore[type-abstract]


def make_engine(name: str, settings: Sequence[str] = (), *, jobs: int | None = None) -> Engine:
    """An engine by its name, with settings such as ``gpus=1``.

    Raises `UnskipError` for an engine or a setting that is not there, and where a package that it needs is missing.
    """
    engine = ENGINES[name]
    given = parse_settings(settings)
    if "jobs" in given:
        raise UnskipError("give the most cells at once as `jobs`")
    return engine(**checked_arguments(engine.__init__, {**given, "jobs": jobs}, f"the engine {name}"))
