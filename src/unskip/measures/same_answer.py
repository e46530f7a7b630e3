"""How far an exported file answers as its network does."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class SameAnswer(Measure):
    """How often the file answers as the network does, on the images of the parity.

    The share of the images with the same most likely class; without classes, the share of the variance of the network's
    answers that the file's explain.
    """

    title = "Same answer"
    unit = "share"
    better = "higher"
    kind = "file"
    order = 52

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """Unknown where the network answers every image alike: agreeing with it says nothing."""
        proof = file.proof
        if proof is None:
            return None
        if proof.constant:
            return Figure(unknown="the network answers every image alike, so that agreeing with it says nothing")
        remark = None if file.on_test_images else "on random images"
        return Figure(value=proof.agreement, images=proof.images, remark=remark)
