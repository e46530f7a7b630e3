"""Reading files in a process of its own: native code that meets a damaged one can end the process that loads it."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from pathlib import Path

from unskip.errors import UnskipError
from unskip.processes import AnsweringProcess, own_command
from unskip.runtimes.base import Runtime

PATIENCE_SECONDS = 600.0

_readers: dict[str, AnsweringProcess] = {}
_lock = threading.Lock()


def metadata_by_own_process(path: Path, runtime: Runtime, probe: str) -> Mapping[str, str]:
    """The metadata of a file, which a function, ``MODULE:NAME``, returns for its path.

    Raises `UnskipError`, which names the ``runtime``, where the process ends by a signal or the function fails. The
    process is kept for the next file, since importing takes longer than reading; after a failure another one is
    started, since nobody knows what a damaged file has written over.
    """
    with _lock:
        if probe in _readers and _readers[probe].is_gone:  # which is not this file's doing
            _end(probe)
        if probe not in _readers:
            _readers[probe] = AnsweringProcess(
                own_command("unskip.runtimes._reader"), runtime.version, threads=1, patience_seconds=PATIENCE_SECONDS
            ).__enter__()
        reader = _readers[probe]
        try:
            reader.tell([probe, str(path.absolute())])
            facts: Mapping[str, str] = reader.answer()["facts"]
        except BaseException as error:
            _end(probe)  # when this is interrupted, too: it would give this file's answer to the next question
            if isinstance(error, UnskipError):
                raise UnskipError(f"{path} is no {runtime.title} file that can be read: {error}") from error
            raise
        return facts


def _end(probe: str) -> None:
    _readers.pop(probe).__exit__()


@atexit.register
def _end_all() -> None:
    for probe in list(_readers):
        _end(probe)
