"""The accuracy of the files that are timed, on test images that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from unskip.bench.targets import Target
from unskip.data import Data, data_section
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.evaluation import evaluate_file
from unskip.recipe import recipe_from
from unskip.tasks import Score
from unskip.trained import data_for

__all__ = ["Accuracies"]

_BATCH = 256


class Accuracies:
    """Accuracies of files, each content evaluated once; one that is unknown is the sentence that says why.

    The images are those of the run that a file or its network lies in, or of ``data``; ``settings`` change fields of
    the data section. Raises `UnskipError` for data or settings that cannot be.
    """

    def __init__(self, *, wanted: bool, data: str | None, settings: Sequence[str]) -> None:
        for setting in settings:
            if not setting.startswith("data."):
                raise UnskipError(f"--set {setting!r}: only the data can change here, such as data.test_limit=1000")
        recipe_from({"data": data_section(data or "digits")}, settings, origin="command line")
        self._wanted = wanted
        self._argument = data
        self._settings = settings
        self._data: dict[tuple[Path, DataInfo], Data | str] = {}
        self._known: dict[str, Score | str] = {}

    def test_images(self, target: Target, count: int) -> Tensor | None:
        """Test images as a target's network expects them, None where its data is not known or not wanted."""
        data = self._data_of(target)
        return None if isinstance(data, str) else data.test_images(count)

    def of(self, target: Target, file: Path, content: str) -> Score | str:
        """The accuracy of a file with a content of that hash, in the runtime that it was written for."""
        if content not in self._known:
            data = self._data_of(target)
            self._known[content] = data if isinstance(data, str) else _evaluated(file, data)
        return self._known[content]

    def _data_of(self, target: Target) -> Data | str:
        if not self._wanted:
            return "not asked for"
        if target.home is None:
            return "the weights are random"
        if target.info is None:
            return "the file does not say which classes it knows"
        place = target.home.resolve().parent.parent, target.info
        if place not in self._data:
            try:
                self._data[place] = data_for(target.home, target.info, self._argument, self._settings)
            except UnskipError as error:
                self._data[place] = str(error)
        return self._data[place]


def _evaluated(file: Path, data: Data) -> Score | str:
    try:
        return evaluate_file(file, data.test_batches(_BATCH).epoch(0))
    except UnskipError as error:
        return str(error)
