"""Files that are whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unskip.errors import UnskipError


def check_writable(path: Path, option: str) -> None:
    """Raise `UnskipError` that names the option where no file can be written to ``path``, before anything takes time.

    Folders on the way that are not there yet can be made.
    """
    if path.is_dir():
        raise UnskipError(f"{option} {path} is a folder; name a file")
    home = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not home.is_dir():
        raise UnskipError(f"{option} {path}: {home} is no folder, so nothing can be written below it")
    if not os.access(home, os.W_OK | os.X_OK):
        raise UnskipError(f"{option} {path}: there is no permission to write into {home}")


@contextlib.contextmanager
def atomic_paths(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Temporary paths of the same names that take the places of ``paths``, all in one folder, when the block ends.

    They take all of them or none: after an error everything is as it was before, and the last of them, which is to be
    the one that names the others, is there only while all belong together. Raises `UnskipError` when the disk is full.
    """
    home = paths[0].parent
    workplace = home / f".{paths[0].name}.{os.getpid()}.tmp"
    with _full_disk_in_a_sentence(paths[0]):
        home.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(paths[0])
        workplace.mkdir(exist_ok=True)
        try:
            temporary = [workplace / path.name for path in paths]
            yield temporary
            for path in temporary:
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
            if len(paths) == 1:
                os.replace(temporary[0], paths[0])
            else:
                _replace_all(temporary, paths, workplace / "before")
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def _replace_all(sources: Sequence[Path], targets: Sequence[Path], aside: Path) -> None:
    """Rename all sources; where one cannot be, put back what stood at the others' places."""
    aside.mkdir(exist_ok=True)
    older = [target for target in targets if target.exists()]
    for target in older:
        try:
            os.link(target, aside / target.name)
        except OSError:  # a file system without links
            shutil.copyfile(target, aside / target.name)
    try:
        targets[-1].unlink(missing_ok=True)  # who is killed in between leaves no file with another's parts
        for source, target in zip(sources, targets, strict=True):
            os.replace(source, target)
    except OSError:
        for target in targets:
            if target in older:
                os.replace(aside / target.name, target)
            else:
                target.unlink(missing_ok=True)
        raise


def _clear_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote the same file have left."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.name.removesuffix(".tmp").rpartition(".")[2]
        if process.isdecimal() and not _is_running(int(process)):
            remove(leftover)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether there is such a process, as far as can be asked without disturbing it."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


@contextlib.contextmanager
def _full_disk_in_a_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UnskipError(f"no space left to write {path}; free some and run the same command again") from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent."""
    with atomic_paths([path]) as (temporary,):
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file that is whole or absent."""
    write_bytes(path, text.encode(errors="replace"))


def parse_json(text: str | bytes, where: str) -> Any:
    """Plain data from JSON that anybody may have written; `UnskipError` that begins with ``where`` for other texts."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnskipError(f"{where} is damaged, it is no JSON: {error}") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines; a line that a killed process left half written is passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def cache_folder() -> Path:
    """Where estimates are kept: ``UNSKIP_CACHE``, by default ``unskip`` in the user's cache folder."""
    return Path(
        os.environ.get("UNSKIP_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unskip"
    )
