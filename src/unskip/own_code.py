"""The user's own code, such as a network or a method: of modules that the user named, never of those that a file names.

A weights file, a deployed file, a run folder and a recipe may come from a stranger. What they say is plain data: a
``PACKAGE.MODULE:NAME`` in them is imported only after the user has allowed that module, on the command line or by
:func:`allow_module`.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from unskip.errors import UnskipError, first_line, nearest

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# Their functions do many things with arguments from a file; nothing of a user's own is defined there.
_OF_OTHERS = {*sys.stdlib_module_names, "torch", "torchvision", "timm", "numpy", "unskip"}

_allowed: set[str] = set()  # of this process; who starts others, such as torchrun, gives them the same command line


def allow_module(name: str) -> None:
    """Let networks, methods and scores come from a module of your own and those below it, in the rest of this process.

    Needed before a file that names ``MODULE:NAME`` is used: a recipe, a run folder, a weights file. A net that is
    given to `unskip.make_net` by its name is allowed by that. Raises `UnskipError` for what is no module's name, and
    for a module of Python or of a package that unskip builds on.
    """
    _check_name(name, f"`allow_module` {name!r}")
    _allowed.add(name)


def allow_module_of(source: str) -> None:
    """Allow the module of a thing that the user named; nothing for things that come from no module of theirs."""
    module = own_module_of(source)
    if module is not None:
        _check_name(module, source)
        _allowed.add(module)


def allowed_modules() -> tuple[str, ...]:
    """What this process allows, for one that it starts."""
    return tuple(sorted(_allowed))


def own_module_of(source: str) -> str | None:
    """The module that a named thing comes from; None for this package's, and torchvision's and timm's networks."""
    module, colon, _ = source.partition(":")
    return module if colon and module not in ("torchvision", "timm") else None


def own_object(source: str, noun: str, fits: Callable[[Any, str], bool], expected: str) -> Any:
    """What ``source``, ``MODULE:NAME``, names in a module of the user's own.

    ``noun`` is its word in a sentence ("network"); ``fits`` says of an object and the module's name whether it is one,
    ``expected`` says the same in words. Raises `UnskipError` for a module that nobody allowed, before anything is
    imported, for one that cannot be imported, and for a name that stands for something else.
    """
    module, _, name = source.partition(":")
    _check_name(module, source)
    parents = module.split(".")
    if not any(".".join(parents[:depth]) in _allowed for depth in range(1, len(parents) + 1)):
        raise UnskipError(
            f"the {noun} {source} is code of the module {module}, and a file alone may not have code run; "
            f"if you trust that module, allow it: `allow_module={module}` (in Python: unskip.allow_module({module!r}))"
        )
    imported = _imported(source, module)
    with running_own_code(f"{source}: {module} does not let itself be looked at"):
        named = getattr(imported, name, None)
        if named is not None and fits(named, module):
            return named
        near = nearest(name, [key for key, value in vars(imported).items() if fits(value, module)])
        if named is None:
            raise UnskipError(f"{module} has nothing named {name!r}{near}")
        raise UnskipError(f"{source} is no {noun}: expected {expected}, defined in {module}{near}")


@contextmanager
def running_own_code(failure: str) -> Iterator[None]:
    """Turn whatever others' code raises, and its attempts to end the program, into an `UnskipError`.

    ``failure`` begins the sentence: "my_nets:build cannot be made with {}". Ctrl-C stays what it is.
    """
    try:
        yield
    except (UnskipError, KeyboardInterrupt):
        raise
    except SystemExit as stop:
        raise UnskipError(f"{failure}: it ends the program (SystemExit: {stop.code})") from stop
    except BaseException as error:
        reason = first_line(error)
        kind = type(error).__name__
        raise UnskipError(f"{failure}: {reason if reason == kind else f'{kind}: {reason}'}") from error


def _check_name(module: str, origin: str) -> None:
    if not _NAME.fullmatch(module):
        raise UnskipError(f"{origin}: {module!r} is no module's name; expected PACKAGE.MODULE, as in an import")
    top = module.partition(".")[0]
    if top in _OF_OTHERS:
        hint = f"; its networks are named {top}:NAME" if top in ("torchvision", "timm") else ""
        raise UnskipError(f"{origin}: {top} is not a module of your own{hint}")


def _imported(source: str, module: str) -> types.ModuleType:
    from unskip.torchvision_compat import torchvision

    assert torchvision  # the module may import it
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        with running_own_code(f"{source}: importing {module} fails"):
            try:
                return importlib.import_module(module)
            except ModuleNotFoundError as error:
                searched = "a module is looked for in this folder and where Python finds packages"
                raise UnskipError(f"{source}: {error} ({searched})") from error
    finally:
        with suppress(ValueError):  # the module may have taken it away itself
            sys.path.remove(folder)
