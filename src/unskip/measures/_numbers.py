"""Numbers in the texts of limits."""

import math

from unskip.errors import UnskipError, shortened


def number(text: str, name: str, *, most: float, expected: str) -> float:
    """A number above 0 and up to ``most``; `UnskipError`, which names the argument and what is ``expected``, else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= most or math.isinf(value):
        raise UnskipError(f"`{name}` {shortened(text)}: expected {expected}")
    return value
