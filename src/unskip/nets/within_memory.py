"""Networks that no memory holds are refused while they are made, before the tensor that is too large is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from unskip.errors import UnskipError
from unskip.machine_memory import machine_bytes

_MOST_TENSORS = 500_000  # a network of 1,000 layers has 10,000
_MAKERS = frozenset(
    getattr(torch, name) for name in ("empty", "zeros", "ones", "full", "rand", "randn", "empty_strided")
)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def check_memory(needed_bytes: float, subject: str, advice: str = "") -> None:
    """Raise `UnskipError` where so many bytes are more than this machine's memory.

    ``subject`` begins the sentence, ``advice`` ends it.
    """
    there = machine_bytes()
    if there is not None and needed_bytes > there:
        end = f"; {advice}" if advice else ""
        raise UnskipError(
            f"{subject} would take {_text(needed_bytes)}, and this machine has {_text(there)} of memory{end}"
        )


class WithinMemory(TorchFunctionMode):
    """Within this block, the tensors that are made, real or meta ones, must fit into this machine's memory together.

    Raises `UnskipError` as soon as they would not, and for tensors without end; ``subject`` begins its sentence, such
    as "resnet14: its weights".
    """

    def __init__(self, subject: str) -> None:
        super().__init__()
        self._subject = subject
        self._machine_bytes = machine_bytes()
        self._bytes = 0
        self._count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func in _MAKERS:
            self._count += 1
            self._bytes += 4 * _elements(args, options)
            if self._machine_bytes is not None and self._bytes > self._machine_bytes:
                check_memory(self._bytes, self._subject)
            if self._count > _MOST_TENSORS:
                raise UnskipError(
                    f"{self._subject} are more than {_MOST_TENSORS:,} tensors; no network has so many layers"
                )
        return func(*args, **options)


def _elements(args: tuple[Any, ...], options: Mapping[str, Any]) -> int:
    """The elements that ``torch.empty(2, 3)`` or ``torch.empty((2, 3))`` asks for; 0 where that is unclear."""
    size = options.get("size", args[0] if args and not isinstance(args[0], int) else args)
    if not isinstance(size, tuple | list) or not all(isinstance(side, int) and side >= 0 for side in size):
        return 0
    return math.prod(size)


def _text(size: float) -> str:
    power = min(int(math.log(max(size, 1), 1024)), len(_UNITS) - 1)
    return f"{size / 1024**power:,.1f} {_UNITS[power]}"
