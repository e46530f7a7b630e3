"""Silence for libraries that print: their progress, warnings and log records, also what C++ code writes.

What is to be read meanwhile is written to a stream that was `unsilenced` before.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let nothing out on standard output and standard error, of the whole process; exceptions rise as ever."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            _to_nowhere(1),
            _to_nowhere(2),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def unsilenced(stream: TextIO) -> Iterator[TextIO]:
    """A stream to where this one leads now, which `quiet` leaves alone; the same one where it has no descriptor."""
    try:
        descriptor = os.dup(stream.fileno())
    except (AttributeError, OSError, ValueError):  # one in memory, such as a notebook's, or closed
        yield stream
        return
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    heard = os.fdopen(descriptor, "w", encoding=stream.encoding, errors=stream.errors, buffering=1)
    try:
        yield heard
    finally:
        with contextlib.suppress(OSError):  # nobody reads any more
            heard.close()


@contextlib.contextmanager
def _to_nowhere(descriptor: int) -> Iterator[None]:
    """Lead a file descriptor into the void; one that the process has closed stays closed."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            stream.flush()
    try:
        saved = os.dup(descriptor)
    except OSError:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)
        os.close(nowhere)
