"""What the folders of this package hold, one thing a file: found by listing them, imported when asked for."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from unskip.errors import UnskipError
from unskip.settings import nearest, shortened

__all__ = ["Listing"]

T = TypeVar("T")


class Listing(Mapping[str, type[T]], Generic[T]):
    """The classes of one kind, each in a file of a folder; the file's name is the thing's name everywhere.

    ``package`` is the folder as a module, ``what`` what a sentence calls the kind. A file holds one public class that
    is a ``kind``; ``base`` and what begins with an underscore hold none. Adding a thing is adding a file.
    """

    def __init__(self, package: str, kind: type[T], what: str) -> None:
        self._package = package
        self._kind = kind
        self._what = what

    def __iter__(self) -> Iterator[str]:
        folder: Any = importlib.import_module(self._package)
        names = (module.name for module in pkgutil.iter_modules(folder.__path__))
        return iter(sorted(name for name in names if name != "base" and not name.startswith("_")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> type[T]:
        """The class of that name; `UnskipError`, with the nearest and all known names, where there is none."""
        known = list(self)
        if name not in known:
            near = nearest(name, known)
            raise UnskipError(f"no {self._what} {shortened(name)!r}{near} (known: {', '.join(known)})")
        module = importlib.import_module(f"{self._package}.{name}")
        (found,) = [
            member
            for key, member in vars(module).items()
            if inspect.isclass(member)
            and issubclass(member, self._kind)
            and member.__module__ == module.__name__
            and not key.startswith("_")
        ]
        return found

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def card(self, name: str) -> str:
        """What a thing's file says at its head."""
        return inspect.getdoc(inspect.getmodule(self[name])) or ""
