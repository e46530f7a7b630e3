"""The one exception that users are meant to read."""

__all__ = ["UnskipError"]


class UnskipError(ValueError):
    """Something that the user gave cannot be used.

    The message says what was wrong, what was expected and what to do. The command line prints it without a traceback
    and exits with code 2; nothing that was finished before is lost.
    """
