"""What the answers of files are judged by: test images that belong to them, and the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unskip.compare.targets import Target
from unskip.data import Data, data_section
from unskip.data_info import DataInfo
from unskip.deploying import data_for, task_for
from unskip.errors import UnskipError
from unskip.recipe import recipe_from
from unskip.tasks import Task

__all__ = ["TestSet", "TestSets"]


@dataclass(frozen=True)
class TestSet:
    """Images as a network expects them, and the task that they are for."""

    data: Data
    task: Task

    __test__ = False  # pytest need not collect it


class TestSets:
    """Test images of targets: those of the run that a file or its network lies in, or of ``data``.

    ``settings`` change fields of the data section. What is not known is the sentence that says why. Raises
    `UnskipError` for data or settings that cannot be.
    """

    __test__ = False

    def __init__(self, *, wanted: bool, data: str | None, settings: Sequence[str]) -> None:
        for setting in settings:
            if not setting.startswith("data."):
                raise UnskipError(f"{setting!r}: only the data can change here, such as `data.test_limit=1000`")
        recipe_from({"data": data_section(data or "digits")}, settings, origin="command line")
        self._wanted = wanted
        self._argument = data
        self._settings = settings
        self._known: dict[tuple[Path, DataInfo], TestSet | str] = {}

    def of(self, target: Target) -> TestSet | str:
        """A target's test images, read once for all that share them."""
        if not self._wanted:
            return "not asked for"
        if target.home is None:
            return "the weights are random"
        if target.info is None:
            return "the file does not say which classes it knows"
        place = target.home.resolve().parent.parent, target.info
        if place not in self._known:
            try:
                self._known[place] = self._read(target.home, target.info)
            except UnskipError as error:
                self._known[place] = str(error)
        return self._known[place]

    def _read(self, home: Path, info: DataInfo) -> TestSet:
        data = data_for(home, info, self._argument, self._settings)
        return TestSet(data, task_for(home, info))
