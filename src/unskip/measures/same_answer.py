"""On how many images an exported file decides as its network does."""

from __future__ import annotations

from typing import ClassVar, Literal

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure

__all__ = ["SameAnswer"]


class SameAnswer(Measure):
    """The share of images with the same answer, as the export was proved."""

    title: ClassVar[str] = "Same answer"
    unit: ClassVar[str] = "share"
    better: ClassVar[Literal["higher"]] = "higher"
    kind: ClassVar[Literal["file"]] = "file"
    order: ClassVar[int] = 52
    definition: ClassVar[str] = "Same answer: on how many of the images of the parity the file answers as the network"

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """Unknown where the network answers every image alike: agreeing with it says nothing."""
        proof = file.proof
        if proof is None:
            return None
        if proof.constant:
            return Figure(unknown="the network answers every image alike, so that agreeing with it says nothing")
        remark = None if proof.real_images else "on random images"
        return Figure(value=proof.same, images=proof.images, remark=remark)
