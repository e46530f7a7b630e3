"""What teacher and winner answer, class by class, mistake by mistake, and where they disagree most."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from unskip.records import About, Answers, ClassAnswers, Disagreement
from unskip.report.table import DASH, Entry, Row, RowContent, Table
from unskip.units import MINUS, signed_points

MOST_CLASSES = 20
"""So many classes have a row of their own at once; of more, those that change most."""

_LARGE = 48  # pixels; smaller pictures are shown with sharp edges


def changed_most(answers: Answers) -> list[ClassAnswers]:
    """The classes that have test images, those that lose most first."""
    return sorted((each for each in answers.classes if each.images), key=lambda each: each.gain)


@dataclass(frozen=True)
class ShownAnswers:
    """What a page shows of teacher and ``successor``, which is what it calls the other: tables, and images.

    ``color`` is the number of the successor's colour.
    ``every_class`` is None where ``classes`` has all of them.
    """

    successor: str
    color: int
    num_classes: int
    classes: Table
    every_class: Table | None
    mistakes: Table
    shown: Sequence[Shown]


def shown_answers(answers: Answers, successor: str, color: int) -> ShownAnswers:
    """The answers as a page shows them."""
    count = len(answers.classes)
    return ShownAnswers(
        successor,
        color,
        count,
        classes_table(answers, successor),
        classes_table(answers, successor, every=True) if count > MOST_CLASSES else None,
        mistakes_table(answers, successor),
        disagreements(answers),
    )


def classes_table(answers: Answers, successor: str, *, every: bool = False) -> Table:
    """A row for ``every`` class in the order of the answers, or for those that change most, the largest loss first."""
    rows = list(answers.classes)
    if not every:
        rows = [*changed_most(answers), *(each for each in rows if not each.images)]
    if not every and len(rows) > MOST_CLASSES:
        half = MOST_CLASSES // 2
        changed = changed_most(answers)
        rows = changed[:half] + changed[-half:]
    columns = [_column("Change", "points"), _column("Teacher", "%"), _column(successor, "%"), _column("Images")]
    return Table("Class", tuple(columns), tuple(map(_class_row, rows)), ())


def _class_row(each: ClassAnswers) -> Row:
    if not each.images:
        return Row(RowContent(each.name, color=None), ((DASH,), (DASH,), (DASH,), ("0",)))
    entries = (
        (signed_points(each.gain),),
        _part(each.teacher, each.images),
        _part(each.winner, each.images),
        (f"{each.images:,}",),
    )
    return Row(RowContent(each.name, color=None), entries)


def _part(right: int, images: int) -> Entry:
    return (f"{100 * right / images:.1f}",)


def mistakes_table(answers: Answers, successor: str) -> Table:
    """How often classes are taken for others by the two, the largest changes first."""
    names = [each.name for each in answers.classes]
    rows = [
        Row(
            RowContent(f"{names[each.true]} taken for {names[each.answered]}", color=None),
            (
                (f"{each.winner - each.teacher:+,}".replace("-", MINUS),),
                (f"{each.teacher:,}",),
                (f"{each.winner:,}",),
            ),
        )
        for each in answers.confusions
    ]
    return Table("Mistake", (_column("Change"), _column("Teacher"), _column(successor)), tuple(rows), ())


def _column(title: str, unit: str = "") -> About:
    return About(title=title, unit=unit, better="higher", kind="answers", definition=title)


@dataclass(frozen=True)
class Shown:
    """A test image on which the two disagree: names of classes, the PNG in base64, and how it is to be shown."""

    index: int
    true: str
    teacher: tuple[str, float, bool]  # the class, its probability, and whether it is right
    winner: tuple[str, float, bool]
    distance: float
    png: str
    width: int
    height: int
    sharp: bool


def disagreements(answers: Answers) -> list[Shown]:
    """The images, those on which the two are furthest apart first; a picture that is none is left out."""
    return [shown for each in answers.disagreements if (shown := _shown(answers, each))]


def _shown(answers: Answers, each: Disagreement) -> Shown | None:
    names = [known.name for known in answers.classes]
    size = _png_size(each.png)
    if size is None:
        return None
    scale = max(1, 96 // max(size))
    return Shown(
        index=each.index,
        true=names[each.true],
        teacher=(names[each.teacher.answered], each.teacher.probability, each.teacher.answered == each.true),
        winner=(names[each.winner.answered], each.winner.probability, each.winner.answered == each.true),
        distance=each.distance,
        png=each.png,
        width=scale * size[0],
        height=scale * size[1],
        sharp=max(size) < _LARGE,
    )


def _png_size(png: str) -> tuple[int, int] | None:
    """Width and height of a PNG in base64; None for anything else."""
    try:
        head = base64.b64decode(png[:44], validate=True)
        signature, kind, width, height = struct.unpack(">8s4x4sII", head[:24])
    except (ValueError, struct.error):
        return None
    known = signature == b"\x89PNG\r\n\x1a\n" and kind == b"IHDR"
    return (width, height) if known and 0 < width <= 4096 and 0 < height <= 4096 else None
