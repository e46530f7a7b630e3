"""Training a student while its shortcuts fade, whatever the loss is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from unskip.errors import UnskipError
from unskip.methods._from_teacher import shortcuts_that_go
from unskip.methods.base import Method, Rates
from unskip.nets import StagedNet
from unskip.nets.fading import FadingResidual, fading_blocks
from unskip.surgery import with_fading_shortcuts, without_faded_shortcuts


class Fading(Method):
    """In front of the method whose loss it is: the student is the teacher, and the shortcuts that go fade."""

    most_shortcuts: ClassVar[int]
    """Of more than these another method keeps more, or none was tried (docs/results/fitting.md#or-fading)."""

    rates: ClassVar[Rates] = "of_fresh"
    starts_as_teacher: ClassVar[bool] = True

    fade_share: float = Field(0.25, ge=0, le=0.9, description="share of the training in which shortcuts fade")
    order: Literal["together", "from_back", "from_front"] = Field(
        "together", description="all shortcuts at once, or one after the other"
    )

    def student_of(self, teacher: StagedNet, requested: StagedNet) -> StagedNet:
        """The teacher itself, copied, with fading shortcuts where ``requested`` has none; ``requested`` if it has them.

        Raises `UnskipError` where ``requested`` is not the teacher without some of its shortcuts.
        """
        if fading_blocks(requested):
            return requested
        return with_fading_shortcuts(teacher, **shortcuts_that_go(teacher, requested, self.name)).requires_grad_()

    @property
    def least_steps(self) -> int:
        """So many that the last one begins when the shortcuts have faded."""
        return math.ceil(1 / (1 - self.fade_share) - 1e-9)

    def deployables(self, student: StagedNet, images: Iterable[Tensor]) -> Mapping[str, StagedNet]:
        """The student without its shortcuts. Raises `UnskipError` when they have not faded, after too few steps."""
        return super().deployables(without_faded_shortcuts(student), images)

    def shortcut_factors_at(self, progress: float, count: int) -> list[float]:
        """The factors of ``count`` fading shortcuts, in the network's order, at a share of the training, 0 to 1."""
        if progress >= self.fade_share:
            return [0.0] * count
        done = progress / self.fade_share
        if self.order == "together":
            return [1 - done] * count
        factors = [min(1.0, max(0.0, place + 1 - done * count)) for place in range(count)]
        return factors if self.order == "from_front" else factors[::-1]

    def fading_of(self, student: StagedNet, trained: StagedNet) -> tuple[tuple[FadingResidual, ...], ...]:
        """The blocks whose factors an objective sets: those of the student, and of the view of it that it trains.

        Raises `UnskipError` where no shortcut of the student can fade.
        """
        blocks, seen = (fading_blocks(net).values() for net in (student, trained))
        if not blocks:
            raise UnskipError(f"{self.name} trains a network whose shortcuts can fade: what its student_of returns")
        return tuple((block,) if block is view else (block, view) for block, view in zip(blocks, seen, strict=True))

    def fade(self, places: tuple[tuple[FadingResidual, ...], ...], progress: float) -> None:
        """Set the factors of :meth:`fading_of`'s blocks to those of a share of the training, 0 to 1."""
        for blocks, factor in zip(places, self.shortcut_factors_at(progress, len(places)), strict=True):
            for block in blocks:
                block.fade_to(factor)
