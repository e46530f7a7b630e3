"""The teacher's file for the target, which a shrink that goes on finds again."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from unskip.export import Exported
from unskip.exporting import cost_of_8_bits
from unskip.files import write_json
from unskip.records import EightBits, Record
from unskip.shrink.first_look import FirstLook
from unskip.shrink.on_target import OnTarget
from unskip.shrink.shrink_request import Request


class TeacherFile(Record):
    """What is known of it: its ``name``, its ``score``, and how long it took to be written and proved.

    ``eight_bits`` is what these cost, if it has them, ``inputs`` a hash of what it was made from.
    """

    name: str
    score: float
    seconds: float
    eight_bits: EightBits | None = None
    inputs: str


def teacher_file(request: Request, first_look: FirstLook, target: OnTarget, folder: Path) -> TeacherFile:
    """Write and prove it, or find it in ``folder``."""
    facts = folder / "teacher.json"
    with contextlib.suppress(OSError, ValueError):
        known = TeacherFile.model_validate(json.loads(facts.read_text(encoding="utf-8")))
        if known.inputs == first_look.inputs and (folder / known.name).is_file():
            return known
    started = time.monotonic()
    exported = target.export(first_look.teacher, "teacher", folder, first_look.data, first_look.task)
    assert exported.scores is not None, "files of classifiers are scored"
    teacher = TeacherFile(
        name=exported.path.name,
        score=exported.scores.file.value,
        seconds=time.monotonic() - started,
        eight_bits=_eight_bits(exported, request),
        inputs=first_look.inputs,
    )
    write_json(facts, teacher.model_dump(mode="json"))
    return teacher


def _eight_bits(exported: Exported, request: Request) -> EightBits | None:
    if exported.quantization is None:
        return None
    return cost_of_8_bits("teacher", exported, request.device.target if request.device else None)
