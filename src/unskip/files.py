"""Files that are whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unskip.errors import UnskipError

__all__ = ["atomic_path", "read_json_lines", "write_bytes", "write_json", "write_text"]


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes ``path``'s place when the block ends without an error.

    Raises `UnskipError` when the disk is full; what stood at ``path`` before is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UnskipError(f"no space left to write {path}; free some and run the same command again") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file that is whole or absent."""
    write_bytes(path, text.encode(errors="replace"))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines; a line that a killed process left half written is passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")
