"""Which Parquet files of a folder hold which split, as the Hugging Face hub and its converter lay them out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unskip.data.scan import few, subfolders
from unskip.data.splits import Split, split_named
from unskip.errors import UnskipError

_SHARD = re.compile(
    r"(?P<split>[a-z]+)([-_.]?(?P<number>\d+))?(-of-(?P<total>\d+))?(-[0-9a-f]+)?\.parquet", re.IGNORECASE
)
_NUMBER = re.compile(r"(\d+)\.parquet", re.IGNORECASE)
_PARTIAL = "partial-"  # the converter's prefix for splits of which it took a part


def parquet_files(path: Path) -> dict[Split, list[Path]]:
    """The Parquet files of every split; none where no training images are among them.

    They lie in ``path`` or in one folder in it (``data``, or the name of a configuration), and there either together
    (``train-00000-of-00001.parquet``) or in a folder per split (``train/0000.parquet``). `UnskipError` where several
    folders have some, and where files are missing.
    """
    if not path.is_dir():
        return {}
    shards = _shards(path)
    configurations = sorted({shard.configuration for shard in shards if shard.split == "train"})
    if len(configurations) > 1 and path in configurations:  # what lies in the folder itself was meant
        others = few([folder.name for folder in configurations if folder != path])
        warnings.warn(f"{path}: the Parquet files in the folders {others} are passed over", stacklevel=3)
    elif len(configurations) > 1:
        names = few([folder.name for folder in configurations], 8)
        raise UnskipError(f"{path} has Parquet files of several configurations: {names}; set data.path to one of them")
    elif not configurations:
        return {}
    chosen = path if path in configurations else configurations[0]
    return _by_split(chosen, [shard for shard in shards if shard.configuration == chosen])


@dataclass(frozen=True)
class _Shard:
    """A Parquet file: the folder of its configuration, its split if it names one, and which files it belongs with."""

    file: Path
    configuration: Path
    split: Split | None
    series: str


def _shards(path: Path) -> list[_Shard]:
    folders = subfolders(path, path)
    inner = [deep for folder in folders for deep in subfolders(folder, path) if _of_folder(deep.name)]
    return [
        _shard(file, path)
        for folder in (path, *folders, *inner)
        for file in sorted(folder.glob("*.[pP][aA][rR][qQ][uU][eE][tT]"))
        if file.is_file() and not file.name.startswith(".")
    ]


def _shard(file: Path, root: Path) -> _Shard:
    folder, match = file.parent, _SHARD.fullmatch(file.name)
    named = split_named(match["split"]) if match else None
    of_folder = _of_folder(folder.name) if folder != root else None
    if of_folder and named in (None, of_folder):
        return _Shard(file, folder.parent, of_folder, f"{folder.name}/")
    assert match or not named
    return _Shard(file, folder, named, match["split"] if match and named else file.name)


def _of_folder(name: str) -> Split | None:
    return split_named(name.removeprefix(_PARTIAL))


def _by_split(folder: Path, shards: Sequence[_Shard]) -> dict[Split, list[Path]]:
    series: dict[Split, dict[str, list[Path]]] = {}
    for shard in shards:
        if shard.split:
            series.setdefault(shard.split, {}).setdefault(shard.series, []).append(shard.file)
    _check_series(folder, series)
    if others := [shard.file.name for shard in shards if not shard.split]:
        warnings.warn(
            f"{folder}: {len(others)} Parquet files name no split and are passed over: {few(others)}", stacklevel=4
        )
    for name in (name for found in series.values() for name in found if name.startswith(_PARTIAL)):
        warnings.warn(f"{folder / name} holds a part of the images only, as its name says", stacklevel=4)
    return {split: next(iter(found.values())) for split, found in series.items()}


def _check_series(folder: Path, series: Mapping[Split, Mapping[str, Sequence[Path]]]) -> None:
    """Raise `UnskipError` for a split that stands there twice, or that lacks files."""
    for split, by_prefix in series.items():
        if len(by_prefix) > 1:
            names = few([str(files[0].relative_to(folder)) for files in by_prefix.values()])
            raise UnskipError(f"{folder} has its {split} images more than once: {names}; remove all but one")
        for files in by_prefix.values():
            _check_numbers(files)


def _check_numbers(files: Sequence[Path]) -> None:
    for file in files:
        match = _SHARD.fullmatch(file.name)
        total = match and match["total"]
        if total and int(total) != len(files):
            raise UnskipError(f"{file.name} says that there are {int(total)} files, but {file.parent} has {len(files)}")
    numbers = [int(match[1]) for file in files if (match := _NUMBER.fullmatch(file.name))]
    missing = sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers))
    if missing:
        raise UnskipError(f"{files[0].parent} has {files[-1].name}, but not number {missing[0]}; fetch it again")
