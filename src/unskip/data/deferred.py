"""Images that are decoded when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from torch import Tensor

from unskip.data.batches import Images, Steps
from unskip.data.image_set import Rows
from unskip.data.normalize import Normalization


class DeferredImages:
    """`Images` of which the ``labels`` are known, and the rest is made by ``decoded`` at the first use."""

    def __init__(self, labels: Rows, decoded: Callable[[], Images]) -> None:
        self.labels = labels
        self._decoded = decoded

    @cached_property
    def _images(self) -> Images:
        return self._decoded()

    def epoch(self, steps: Steps, seed: int | None, epoch: int, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Images`."""
        return self._images.epoch(steps, seed, epoch, start_step)

    def at(self, rows: Rows) -> Tensor:
        """See `Images`."""
        return self._images.at(rows)

    def part(self, rows: Rows, *, augmented: bool) -> Images:
        """See `Images`."""
        return self._images.part(rows, augmented=augmented)

    def normalization(self) -> Normalization:
        """See `Images`."""
        return self._images.normalization()

    def digest(self) -> str:
        """See `Images`."""
        return self._images.digest()
