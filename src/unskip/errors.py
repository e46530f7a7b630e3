"""The one exception that users are meant to read, and what sentences are made of."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_LONGEST = 200  # characters of what was given that a sentence repeats


class UnskipError(ValueError):
    """Something that the user gave cannot be used.

    The message says what was wrong, what was expected and what to do. The command line prints it without a traceback
    and exits with code 2; nothing that was finished before is lost.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, its first line; its name if it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def shortened(text: str) -> str:
    """A text that was given, as a sentence can repeat it: what is long loses its middle."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}..{text[-_LONGEST // 4 :]}"


def nearest(word: str, words: Collection[str]) -> str:
    """``; did you mean 'X'?`` for the nearest known word, or nothing when none is near."""
    near = difflib.get_close_matches(shortened(word), list(words), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
