"""Records from the JSON files that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from unskip.errors import UnskipError
from unskip.records.figures import Record

_R = TypeVar("_R", bound=Record)


def read_record(kind: type[_R], path: Path, *, missing: str, contents: str, remedy: str) -> _R:
    """The record that a file holds.

    Raises `UnskipError`: ``missing`` where there is no file, or else that it does not hold ``contents``, why, and the
    ``remedy``.
    """
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UnskipError(f"{path} is missing: {missing}") from None
    except ValidationError as error:
        places = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()[:3]]
        problems = "; ".join(f"{place}: {message}" if place else message for place, message in places)
    except (OSError, ValueError, RecursionError) as error:
        problems = f"it cannot be read as JSON: {error}"
    raise UnskipError(f"{path} does not hold {contents} ({problems}); {remedy}")
