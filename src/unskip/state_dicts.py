"""State dicts in PyTorch's own files, however people wrap them; read as plain data, nothing is run."""

from __future__ import annotations

import re
import textwrap
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unskip.errors import UnskipError, first_line

_MAX_DEPTH = 4  # of dictionaries in one another
_MAX_PREFIXES = 12
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # anywhere in a name
_OF_ANOTHER_COPY = re.compile(r"ema|average|swa|teacher|momentum|shadow", re.IGNORECASE)


class _Unread:
    """Stands for an object that is no tensor and that nobody asks for; it takes whatever it is given and keeps none."""

    def __new__(cls, *arguments: Any) -> _Unread:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# What people save beside their weights. Not these classes are made, but `_Unread` in their places.
_BESIDE_WEIGHTS = [
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "WindowsPath")),
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
]


@dataclass(frozen=True)
class StateDict:
    """Names and tensors; ``place`` says where in the file, "" for the whole file as it is."""

    place: str
    tensors: Mapping[str, Tensor]

    @property
    def is_another_copy(self) -> bool:
        """Whether its place says that these are averaged weights or those of a helper, not the network's own."""
        return bool(_OF_ANOTHER_COPY.search(self.place))


def read_torch_file(path: Path) -> Any:
    """What `torch.save` wrote, its tensors and plain data; `UnskipError` where anything else is in it."""
    if path.stat().st_size == 0:
        raise UnskipError(f"{path} is no state dict: it is empty")
    _check_not_inflated(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(_Unread, name) for name in _BESIDE_WEIGHTS]):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle can fail in any way
        raise UnskipError(f"{path} is no state dict that can be read safely: {_reason(error)}") from error


def _check_not_inflated(path: Path) -> None:
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            return  # torch says what is wrong
        if size > path.stat().st_size:
            raise UnskipError(f"{path} cannot be read safely: unpacked it is larger than torch.save writes it")


def _reason(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    refused = re.search(r"GLOBAL ([\w.]+)", text)
    if refused:
        return (
            f"it holds {refused[1]}, which is no plain data, and to read it may run code; "
            "save the weights alone, torch.save(model.state_dict(), FILE), and give that file"
        )
    if "TorchScript" in text:
        return "it is TorchScript; save the weights alone, torch.save(model.state_dict(), FILE), and give that file"
    found = re.search(r"(?:WeightsUnpickler|UnpicklingError) error: *([^\n]+)", text)
    reason = textwrap.shorten((found[1] if found else first_line(error)).partition(". ")[0], 200, placeholder=" ..")
    reason = f" ({reason})" if re.search("[a-z]", reason) else ""  # a byte that no pickle begins with is a bare number
    return f"it is damaged, cut short or no file of torch.save{reason}"


def state_dicts_in(content: Any) -> Iterator[StateDict]:
    """All that may be state dicts in what a file holds, outer before inner; each also without a prefix of its names."""
    for keys, tensors in _dictionaries(content, ()):
        place = ".".join(keys)
        names = {_WRAPPERS.sub("", name): tensor for name, tensor in tensors.items()}
        yield StateDict(place, names)
        for prefix in _prefixes(names):
            inner = {name.removeprefix(prefix): tensor for name, tensor in names.items() if name.startswith(prefix)}
            yield StateDict(f"{place + ': ' if place else ''}{prefix}*", inner)


def _dictionaries(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    if not isinstance(content, Mapping) or len(keys) > _MAX_DEPTH:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield keys, tensors
    for name, value in content.items():
        yield from _dictionaries(value, (*keys, str(name)))


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    """What several names begin with, up to three levels, the most frequent first."""
    count: Counter[str] = Counter()
    for name in names:
        levels = name.split(".")[:-1]
        count.update(f"{'.'.join(levels[:depth])}." for depth in range(1, min(3, len(levels)) + 1))
    return [prefix for prefix, times in count.most_common(_MAX_PREFIXES) if times > 1]


def best_fitting(content: Any, fit: Callable[[Mapping[str, Tensor]], int], path: Path) -> StateDict:
    """The state dict in a file of which most tensors fit a network; ``fit`` counts them.

    The network's own weights come before averaged ones. A warning names what was taken where several fit alike. Raises
    `UnskipError`, with the keys that are there, for a file without any.
    """
    candidates = list(state_dicts_in(content))
    if not candidates:
        some = isinstance(content, Mapping) and content
        held = ", ".join(map(str, list(content)[:8])) if some else f"a {type(content).__name__}"
        raise UnskipError(f"{path} is no state dict: expected names and tensors; it holds {held}")
    scores = [fit(candidate.tensors) for candidate in candidates]
    best = max(scores)
    if not best:
        return max(candidates, key=lambda candidate: len(candidate.tensors))
    fitting = [candidate for candidate, score in zip(candidates, scores, strict=True) if score == best]
    fitting.sort(key=lambda candidate: candidate.is_another_copy)
    taken, *others = fitting
    places = ", ".join(other.place or "its top level" for other in others if not _same(other, taken))
    if places:
        warnings.warn(
            f"{path} holds weights of this network more than once; those under {taken.place or 'its top level'} are "
            f"taken, those under {places} are not",
            stacklevel=4,
        )
    return taken


def _same(one: StateDict, other: StateDict) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(t is other.tensors[n] for n, t in one.tensors.items())
