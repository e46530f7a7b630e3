"""How a command ends, whatever happened in it: an exit code, and at most one sentence on standard error.

A traceback is for whoever mends the program: it goes into a file, and the sentence names it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import sysconfig
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO

from unskip.errors import UnskipError


class ExitCode(IntEnum):
    """What an exit code means."""

    DONE = 0
    NOT_MET = 1
    REFUSED = 2
    UNFORESEEN = 70  # sysexits.h: an internal software error
    INTERRUPTED = 130  # as shells say it: 128 and SIGINT
    NOBODY_READS = 141  # 128 and SIGPIPE


_LONGEST = 2000  # characters of a sentence; what is longer repeats what was given
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "unable to allocate")
_HERE = Path(__file__).resolve().parents[1]
_LIBRARIES = tuple({os.path.realpath(path) for path in sysconfig.get_paths().values()})


def ended(command: Callable[[], int | None], *, saved: str = "") -> int:
    """Carry out a command and return its exit code: its own, or that of the sentence that was said.

    ``saved`` says, of a command that is interrupted, what is left of it.
    """
    _open_closed_streams()
    with _replacing_characters(), _words_of_threads():
        try:
            code = command() or ExitCode.DONE
            if sys.stdout is not None:
                sys.stdout.flush()
        except BaseException as error:
            code, sentence = _explained(error, saved)
            if sentence:
                say(sentence)
        _leave_nothing_to_flush()
    return int(code)


def say(sentence: str, to: IO[str] | None = None) -> None:
    """One line on standard error, or ``to`` another stream, behind the program's name."""
    stream = to or sys.stderr
    with contextlib.suppress(OSError, ValueError):  # nobody listens
        if stream is not None:
            print(f"unskip: {_one_line(sentence)}", file=stream, flush=True)


def _explained(error: BaseException, saved: str) -> tuple[int, str]:
    """The exit code of an exception, and what is said about it."""
    text = _innermost(str(error))
    match error:
        case UnskipError():
            return ExitCode.REFUSED, text
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED, f"interrupted{saved}"
        case BrokenPipeError() | SystemExit(__context__=BrokenPipeError()):  # rich's consoles make the second of it
            return ExitCode.NOBODY_READS, ""
        case _ if _is_about_memory(error):
            reason = text.splitlines()[0] if text else type(error).__name__
            return ExitCode.REFUSED, (
                f"this machine's memory is not enough ({reason}); take a smaller network, image or batch; "
                "`--set training.gradient_accumulation=4` trains on each batch in four parts; nothing that was "
                "finished is lost"
            )
        case OSError():  # what the system refuses: a full disk, a folder that cannot be written
            place = f": {error.filename}" if error.filename else ""
            return ExitCode.REFUSED, f"{error.strerror or text}{place}; nothing that was finished is lost"
    own = _own_code(error.__traceback__)
    raised = (
        f"SystemExit({error.code!r})"
        if isinstance(error, SystemExit)
        else type(error).__name__ + (f": {text}" if text else "")
    )
    file = _keep_traceback(error)
    where = f"the traceback is in {file}" if file else "its traceback could not be written anywhere"
    if own:
        return ExitCode.REFUSED, f"code that is not unskip's, {own}, raised {raised}; {where}"
    return ExitCode.UNFORESEEN, (
        f"this should not have happened: {raised}; {where}, please report it; nothing that was finished is lost"
    )


def _is_about_memory(error: BaseException) -> bool:
    """Whether memory was refused, by the system, by numpy or by torch, which is not imported for this."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or any(words in message for words in _NO_MEMORY))
    )


def _innermost(text: str) -> str:
    """What an exception says, without the traceback that another process put into its text."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if any("Traceback (most recent call last)" in line for line in lines):
        return re.sub(r"^[\w.]+: ", "", lines[-1].strip())
    return text.strip()


def _one_line(text: str) -> str:
    """A text without line breaks, escape codes and control characters, and not without end."""
    line = " ".join(_ESCAPES.sub("", text).split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} .. {line[-_LONGEST // 2 :]}"


def _own_code(trace: TracebackType | None) -> str | None:
    """The innermost place in a user's own file, if a traceback leads through one."""
    line_of_code = None
    for frame, line in traceback.walk_tb(trace):
        file = os.path.realpath(frame.f_code.co_filename)
        generated = frame.f_code.co_filename.startswith("<")
        if not generated and not file.startswith((f"{_HERE}{os.sep}", *(f"{path}{os.sep}" for path in _LIBRARIES))):
            line_of_code = f"{frame.f_code.co_filename}, line {line}"
    return line_of_code


def _keep_traceback(error: BaseException) -> Path | None:
    """Write what a report needs into the system's folder for temporary files; None where that cannot be."""
    facts = f"unskip {metadata.version('unskip')}, Python {platform.python_version()}, {platform.platform()}"
    lines = [facts, f"arguments: {sys.argv[1:]!r}", "", *traceback.format_exception(error)]
    try:
        descriptor, name = tempfile.mkstemp(prefix="unskip-", suffix="-traceback.txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
    except OSError:
        return None
    return Path(name)


# Streams


def _open_closed_streams() -> None:
    """Lead standard descriptors that are closed into the void, before a file gets their numbers and is printed into."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


@contextlib.contextmanager
def _replacing_characters() -> Iterator[None]:
    """Print what a terminal's encoding lacks as question marks, where Python would raise."""
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            changed.append((stream, stream.errors))
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)


def _leave_nothing_to_flush() -> None:
    """Throw away what cannot be written, which Python would complain about at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def _words_of_threads() -> Iterator[None]:
    """Say what fails in a thread or while an object is deleted in a sentence too."""

    def in_thread(args: threading.ExceptHookArgs) -> None:
        _, sentence = (0, "") if args.exc_value is None else _explained(args.exc_value, "")
        if sentence:
            say(sentence)

    def in_passing(args: sys.UnraisableHookArgs) -> None:
        say(f"warning: while cleaning up, {args.exc_type.__name__}: {args.exc_value}")

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = in_thread, in_passing
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before
