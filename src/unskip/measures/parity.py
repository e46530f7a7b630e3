"""How far an exported file's answers are from its network's."""

from unskip.measures.base import Measure, MeasuredFile
from unskip.records import Figure


class Parity(Measure):
    """The largest difference between an answer of the file and the network's, relative to the largest answer."""

    title = "Parity"
    unit = "relative"
    kind = "file"
    order = 51

    def of_file(self, file: MeasuredFile) -> Figure | None:
        """Unknown for files that were not exported here."""
        proof = file.proof
        if proof is None:
            return Figure(unknown="the file was not exported here")
        remark = None if file.on_test_images else "on random images"
        return Figure(value=proof.max_difference, allowed=proof.tolerance, images=proof.images, remark=remark)
