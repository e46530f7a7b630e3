"""The process that reads files which may be damaged; see `unskip.runtimes._own_process`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unskip.errors import first_line
from unskip.processes import answering, questions


def _answers() -> Iterator[dict[str, Any]]:
    for probe, path in questions(sys.stdin):
        module, _, name = probe.partition(":")
        try:
            yield {"facts": getattr(importlib.import_module(module), name)(Path(path))}
        except Exception as error:  # whatever a damaged file leads to
            yield {"error": first_line(error)}


if __name__ == "__main__":
    answering(_answers())
