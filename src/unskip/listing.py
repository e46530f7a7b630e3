"""What the folders of this package hold, one thing a file: found by listing them, imported when asked for."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from unskip.errors import UnskipError, nearest, shortened

T = TypeVar("T")


def listed_names(package: str) -> list[str]:
    """The names of what a folder of this package holds, such as ``unskip.methods``, without importing any of it.

    ``base`` and what begins with an underscore hold nothing.
    """
    loaded: Any = sys.modules.get(package)
    paths = loaded.__path__ if loaded else [str(Path(__file__).parent.joinpath(*package.split(".")[1:]))]
    names = (module.name for module in pkgutil.iter_modules(paths))
    return sorted(name for name in names if name != "base" and not name.startswith("_"))


def named_recipes() -> dict[str, Path]:
    """The recipes that come with the project, by name."""
    return {file.stem: file for file in sorted(_shipped("recipes").glob("*.yaml"))}


def named_studies() -> dict[str, Path]:
    """The studies that come with the project, by name."""
    return {file.stem: file for file in sorted(studies_folder().glob("*.yaml"))}


def studies_folder() -> Path:
    """Where those studies lie, and what the papers print."""
    return _shipped("studies")


def _shipped(name: str) -> Path:
    """A folder of files that come with the project: in the package where it is installed, else in its checkout."""
    package = Path(__file__).resolve().parent
    installed, checkout = package / name, package.parents[1] / name
    return installed if installed.is_dir() else checkout


class _Folder(Mapping[str, T]):
    """Things by name, each in a file of a folder; the file's name is the thing's name everywhere.

    ``package`` is the folder as a module, ``noun`` what a sentence calls the kind; :func:`listed_names` says what
    counts. Adding a thing is adding a file.
    """

    def __init__(self, package: str, noun: str) -> None:
        self.package = package
        self._noun = noun

    @abstractmethod
    def _in(self, module: ModuleType, name: str) -> T:
        """The thing that a file holds."""

    def __iter__(self) -> Iterator[str]:
        return iter(listed_names(self.package))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> T:
        """The thing of that name; `UnskipError`, with the nearest and all known names, where there is none."""
        module = sys.modules.get(f"{self.package}.{name}")  # a folder need not be listed for what was found in it
        if module is None or name == "base" or name.startswith("_") or not name.isidentifier():
            known = list(self)
            if name not in known:
                near = nearest(name, known)
                raise UnskipError(f"no {self._noun} {shortened(name)!r}{near} (known: {', '.join(known)})")
            module = importlib.import_module(f"{self.package}.{name}")
        return self._in(module, name)

    def __contains__(self, name: object) -> bool:
        return name in list(self)


class Listing(_Folder[type[T]], Generic[T]):
    """The classes of one kind: a file holds one public class that is a ``kind``."""

    def __init__(self, package: str, kind: type[T], noun: str) -> None:
        super().__init__(package, noun)
        self._kind = kind

    def _in(self, module: ModuleType, name: str) -> type[T]:
        (listed,) = [
            member
            for key, member in vars(module).items()
            if inspect.isclass(member)
            and issubclass(member, self._kind)
            and member.__module__ == module.__name__
            and not key.startswith("_")
        ]
        return listed

    def card(self, name: str) -> str:
        """What a thing's file says at its head."""
        return inspect.getdoc(inspect.getmodule(self[name])) or ""


class Instances(_Folder[T], Generic[T]):
    """One of each class of a kind, in the order of their ``order``, those without one last."""

    def __init__(self, package: str, kind: type[T], noun: str) -> None:
        super().__init__(package, noun)
        self._classes = Listing(package, kind, noun)
        self._made: dict[str, T] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes, key=lambda name: getattr(self._classes[name], "order", math.inf)))

    def _in(self, module: ModuleType, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._classes[name]()
        return self._made[name]


class FunctionListing(_Folder[Callable[..., T]], Generic[T]):
    """The functions of one kind, which give a T: a file holds one of its own name. Its docstring is its card."""

    def _in(self, module: ModuleType, name: str) -> Callable[..., T]:
        function: Callable[..., T] = getattr(module, name)
        return function

    def card(self, name: str) -> str:
        """What a function says of itself."""
        return inspect.getdoc(self[name]) or ""
