"""What eight bits cost a network of a run: a file ``int8/LABEL-FORMAT.json`` for every file that was exported so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from unskip.errors import UnskipError
from unskip.records.figures import Record

Share = Annotated[float, Field(ge=0, le=1)]


class EightBits(Record):
    """One network in one format: ``float32``, ``post_training`` and ``quantization_aware`` are scores by ``metric``.

    ``quantization_aware`` is None where the network was not trained in 8 bits, ``epochs`` are those of that training,
    ``note`` says why there was none although post-training quantisation lost too much. ``requantized_additions`` are
    counted in the graph that the file holds. ``target`` is the device or the backend that the file is for.
    """

    label: str
    format: str
    target: str | None = None
    metric: str
    images: int = Field(ge=1)
    float32: Share
    post_training: Share
    quantization_aware: Share | None = None
    epochs: int = Field(0, ge=0)
    requantized_additions: int = Field(ge=0)
    note: str = ""

    @property
    def file_name(self) -> str:
        """Of the file that holds it."""
        return "-".join(filter(None, (self.label, self.format, self.target))) + ".json"


def read_eight_bits(folder: Path) -> tuple[EightBits, ...]:
    """All that a run's ``int8`` folder holds, by the files' names; `UnskipError` for a file that is damaged."""
    return tuple(_read(path) for path in sorted(folder.glob("*.json")))


def _read(path: Path) -> EightBits:
    try:
        return EightBits.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise UnskipError(
            f"{path} does not hold what 8 bits cost a network; delete it and give the same `unskip export` again"
        ) from error
