"""A command that ends with the process that started it: ``python -m unskip.study.watched COMMAND..``.

A cell runs so, since a worker, or the study itself, may be killed at any moment: its standard input closes then, and
the command is told to end. Left alone it would go on, and hold the run's folder.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

_PATIENCE = 10.0  # seconds that a command has to end, a torchrun to end its workers
_PR_SET_PDEATHSIG = 1  # prctl.h


def watched(command: Sequence[str]) -> int:
    """Run a command until it ends, or until this process's input does; the exit code, negative for a signal."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the study's to handle
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    signal.signal(signal.SIGTERM, lambda *_: _end(process))
    threading.Thread(target=_end_with_input, args=(process,), daemon=True).start()
    return process.wait()


def _end_with_input(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    threading.Timer(_PATIENCE, process.kill).start()


def _die_with_parent() -> None:
    """Where even this process is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    code = watched(sys.argv[1:])
    os._exit(code if code >= 0 else 128 - code)  # a thread still reads the input
