"""What the answers of files are judged by: test images that belong to them, and the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unskip.compare.targets import Target
from unskip.data import Data, data_section
from unskip.data_info import DataInfo
from unskip.deploying import data_for, task_for
from unskip.errors import UnskipError
from unskip.recipe import recipe_from
from unskip.tasks import Task


@dataclass(frozen=True, eq=False)
class TestSet:
    """Images as a network expects them, and the task that they are for; equal to itself alone."""

    data: Data
    task: Task

    __test__ = False  # pytest need not collect it


TestSetOf = Callable[[Target], TestSet | str]  # a target's test images, or the sentence that says why there are none


def test_sets(*, accuracy: bool, data: str | None, settings: Sequence[str]) -> TestSetOf:
    """What gives targets their test images: those of the run that a file or its network lies in, or of ``data``.

    They are read once for all that share them. ``settings`` change fields of the data section. What is not known is
    the sentence that says why. Raises `UnskipError` for data or settings that cannot be.
    """
    for setting in settings:
        if not setting.startswith("data."):
            raise UnskipError(f"{setting!r}: only the data can change here, such as `data.test_limit=1000`")
    recipe_from({"data": data_section(data or "digits")}, settings, origin="command line")
    loaded: dict[tuple[Path, DataInfo], TestSet | str] = {}

    def of(target: Target) -> TestSet | str:
        home, info = target.home, target.info
        if not accuracy:
            return "not asked for"
        if home is None:
            return "the weights are random"
        if info is None:
            return "the file does not say which classes it knows"
        place = home.resolve().parent.parent, info
        if place not in loaded:
            try:
                loaded[place] = TestSet(data_for(home, info, data, settings), task_for(home, info))
            except UnskipError as error:
                loaded[place] = str(error)
        return loaded[place]

    return of
