"""What a runtime is: something that loads a deployed file and turns images into logits, without torch's help."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unskip.answers import LOGITS, with_tensors
from unskip.errors import UnskipError, first_line
from unskip.files import parse_json

Images = NDArray[np.float32]
Outputs = list[NDArray[np.float32]]


class Program(ABC):
    """A file, loaded and ready to run.

    ``input_shape`` is ``(channels, height, width)``, None where the file leaves a side open; ``batch_size`` is the one
    that the file was made for, None where it takes any. ``names`` is the structure of its answers, with the name of
    each tensor in its place; what a file of other origin gives besides its first output is left out. ``reference`` is
    the program that says what is right, where this one computes the same in a faster way.
    """

    input_shape: tuple[int, int, int] | None
    batch_size: int | None
    names: Any = LOGITS
    reference: Program | None = None

    def device_peak_bytes(self) -> int | None:
        """The most memory that this process has held on the device, weights included; None where nobody tells."""
        return None

    @abstractmethod
    def bound(self, images: Images) -> Callable[[], object]:
        """A call that computes the answers to these images (B, C, H, W) and waits for them; for timing."""

    @abstractmethod
    def compute(self, images: Images) -> Outputs:
        """The outputs for float32 images (B, C, H, W), B being what the file takes: logits (B, classes), or several."""

    def __call__(self, images: Images) -> Any:
        """The answers to any number of images; where the batch size is fixed, in pieces, the last one filled up."""
        return with_tensors(self.names, self._outputs(np.ascontiguousarray(images, dtype=np.float32)))

    def _outputs(self, images: Images) -> Outputs:
        size = self.batch_size
        if size is None or len(images) == size:
            return self.compute(images)
        pieces = []
        for start in range(0, len(images), size):
            piece = images[start : start + size]
            missing = size - len(piece)
            full = np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)]) if missing else piece
            pieces.append([output[: len(piece)] for output in self.compute(full)])
        return [np.concatenate(outputs) for outputs in zip(*pieces, strict=True)]


class Runtime(ABC):
    """A runtime, and what is read by it. Its file's name is its name everywhere.

    ``endings`` are those of the files that it runs, the first of them the one that unskip writes for it; an
    `Estimator` has one for every device. ``package`` is
    the distribution that brings it, ``extra`` the extra of unskip that installs it (none: unskip needs it anyway).
    ``libraries`` are the modules that loading and running a file imports, those that a version lacks aside.
    ``software`` is what is installed, where the title names something else.
    """

    title: ClassVar[str]
    software: ClassVar[str] = ""
    endings: ClassVar[tuple[str, ...]]
    module: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    extra: ClassVar[str | None]
    devices: ClassVar[tuple[str, ...]] = ("cpu",)

    @property
    def name(self) -> str:
        """The file's name."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def installed(self) -> bool:
        """Whether it can be imported here."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def version(self) -> str:
        """Its name and version, as reports have it."""
        return f"{self.title} {version(self.package)}"

    def import_libraries(self) -> None:
        """Import all that loading and running a file needs; for who measures what the file itself takes."""
        self.require()
        for name in self.libraries:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    def require(self) -> None:
        """Raise `UnskipError` with the line that installs it, where it is missing."""
        if not self.installed:
            hint = f"pip install 'unskip[{self.extra}]'" if self.extra else f"pip install {self.package}"
            raise UnskipError(f"{self.software or self.title} is not installed: {hint}")

    def load(self, path: Path, *, threads: int | None = None, device: str = "cpu", depth: str | None = None) -> Program:
        """Load a file for ``threads`` threads (None: as many as the runtime likes) on a device.

        ``depth`` names one of the networks in a file of several depths, by default the first, which is the full one.
        Raises `UnskipError` where the runtime or the file is missing, where the runtime refuses the file or the device,
        and for a depth that the file does not have.
        """
        self.require()
        _check_file(path)
        if device not in self.devices:
            raise UnskipError(f"{self.title} runs on {' and '.join(self.devices)} here, not on {device}")
        try:
            return self._load(path, threads, device, depth)
        except UnskipError:
            raise
        except Exception as error:  # each runtime fails in ways of its own
            raise UnskipError(f"{self.version} cannot load {path}: {self._reason(error)}") from error

    def read_metadata(self, path: Path) -> dict[str, str]:
        """What was written into the file beside the network; empty for a file of other origin.

        Raises `UnskipError` where the runtime or the file is missing, or the file cannot be read.
        """
        self.require()
        _check_file(path)
        try:
            facts = self._read_metadata(path)
        except UnskipError:
            raise
        except Exception as error:
            raise UnskipError(f"{path} is no {self.title} file that can be read: {self._reason(error)}") from error
        if not isinstance(facts, Mapping) or not all(isinstance(text, str) for pair in facts.items() for text in pair):
            raise UnskipError(f"the metadata of {path} is damaged: expected names and texts")
        return dict(facts)

    def _reason(self, error: Exception) -> str:
        """What went wrong, in a line."""
        return first_line(error)

    @abstractmethod
    def _load(self, path: Path, threads: int | None, device: str, depth: str | None) -> Program: ...

    @abstractmethod
    def _read_metadata(self, path: Path) -> Mapping[str, str]: ...


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UnskipError(f"{path} is a folder; expected a file" if path.is_dir() else f"no file {path}")


def depths_in(facts: Mapping[str, str]) -> list[str]:
    """The names of the networks in a file of several depths, by its metadata; none for other files."""
    names = parse_json(facts.get("depths", "[]"), "what the file says of its depths")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UnskipError("what the file says of its depths is damaged: expected their names")
    return names


def answers_in(facts: Mapping[str, str]) -> Any:
    """The structure of a file's answers, with a name in the place of each tensor, by its metadata."""
    return parse_json(facts["answers"], "what the file says of its answers") if "answers" in facts else LOGITS


def depth_index(path: Path, depths: Sequence[str], depth: str | None) -> int:
    """The place of a depth among those of a file, the first by default; `UnskipError` for one that it does not have."""
    if depth is None:
        return 0
    if depth not in depths:
        has = f"it has {', '.join(depths)}" if depths else "it holds one network only"
        raise UnskipError(f"{path} has no depth {depth!r}; {has}")
    return depths.index(depth)
