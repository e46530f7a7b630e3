"""The one exception that users are meant to read, and what others say in one line."""


class UnskipError(ValueError):
    """Something that the user gave cannot be used.

    The message says what was wrong, what was expected and what to do. The command line prints it without a traceback
    and exits with code 2; nothing that was finished before is lost.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, its first line; its name if it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
