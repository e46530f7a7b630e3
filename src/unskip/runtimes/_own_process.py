"""Reading a file in a process of its own: native code that meets a damaged one can end the process that loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from unskip.errors import UnskipError
from unskip.runtimes.base import Runtime


def metadata_by_own_process(path: Path, runtime: Runtime, probe: str) -> Mapping[str, str]:
    """The metadata of a file, as JSON the last line that a function, ``MODULE:NAME``, prints for its path.

    Raises `UnskipError`, which names the ``runtime``, where the process ends by a signal or with an error.
    """
    module, _, name = probe.partition(":")
    code = f"import sys; from {module} import {name}; {name}(sys.argv[1])"
    command = [sys.executable, "-P", "-c", code, str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode < 0:
        raise UnskipError(f"{path} is damaged: {runtime.version} crashes on it (signal {-process.returncode})")
    if process.returncode:
        messages = process.stderr.strip().splitlines() or ["it says nothing"]
        raise UnskipError(f"{path} is no {runtime.title} file that can be read: {messages[-1]}")
    facts: Mapping[str, str] = json.loads(process.stdout.splitlines()[-1])
    return facts
