"""A training's state on disk: whole, checked, and never the only copy."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from unskip.files import write_bytes

_MAGIC = b"unskip-checkpoint-1\n"


class Checkpoint:
    """The last state of a training and the one before it.

    A state is written to a temporary file, flushed and renamed; its SHA-256 stands in front of it, so that a torn or
    altered file is noticed and the previous one is used instead.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.previous = path.with_name(path.name + ".previous")

    def exists(self) -> bool:
        """Whether a state has been saved, be it whole or not."""
        return self.path.exists() or self.previous.exists()

    def save(self, state: dict[str, Any]) -> None:
        """Write a state: tensors and plain data."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        if self.path.exists():
            os.replace(self.path, self.previous)
        write_bytes(self.path, _MAGIC + hashlib.sha256(payload).digest() + payload)

    def load(self) -> dict[str, Any] | None:
        """The newest state that is whole, or None when there is none."""
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            data = path.read_bytes()
            digest, payload = data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
            if data.startswith(_MAGIC) and hashlib.sha256(payload).digest() == digest:
                state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
                return state
            warnings.warn(f"{path} is damaged and is left out; going on from an earlier state", stacklevel=2)
        return None

    def remove(self) -> None:
        """Delete both files, after the result is safe elsewhere."""
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other trainings of the run may have theirs beside it
            self.path.parent.rmdir()
