"""How often a file for Ethos-U answers as the quantised network that it was written from, on all test images.

    python benchmarks/equal_integers.py RUN --nets fade_kd --target ethos-u55-128
    python benchmarks/equal_integers.py PACKAGE.MODULE:FACTORY=WEIGHTS --data FOLDER --target ethos-u55-128

The file's integers are compared with two networks: the one that the export is proved against, and torchao's own, which
computes in float32 and rounds halves to even. Answers are the same where the first of the largest logits is.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from eight_bits import CALIBRATION, Subject, subjects, subjects_parser, test_batches
from torch import Tensor, nn

from unskip.export.file_export import FileExport, for_cpu
from unskip.export.formats._pt2e import calibrated
from unskip.export.formats.base import CALIBRATION_BATCH
from unskip.export.formats.ethos_u import EthosU
from unskip.export.proof import answers_of
from unskip.quiet import quiet
from unskip.runtimes import find_runtime, read_metadata
from unskip.runtimes.ethos_u import IntegerGraph
from unskip.surgery import fold_batchnorm


@dataclass
class Count:
    """Logits by how many steps of 8 bits they differ, and images."""

    step: float
    steps: Tensor = field(default_factory=lambda: torch.zeros(256, dtype=torch.int64))
    images: int = 0
    same_answer: int = 0
    ties: int = 0  # of the two largest logits, among the images with another answer
    right: int = 0
    right_in_the_file: int = 0

    def add(self, logits: Tensor, of_the_file: Tensor, labels: Tensor) -> None:
        """A batch more."""
        self.steps += torch.bincount(((logits - of_the_file) / self.step).round().abs().int().flatten(), minlength=256)
        same = logits.argmax(1) == of_the_file.argmax(1)
        best = logits.topk(2).values
        self.images += len(logits)
        self.same_answer += int(same.sum())
        self.ties += int((~same & (best[:, 0] == best[:, 1])).sum())
        self.right += int((logits.argmax(1) == labels).sum())
        self.right_in_the_file += int((of_the_file.argmax(1) == labels).sum())

    def describe(self) -> str:
        """In a line."""
        shares = [f"{100 * share:.3f}" for share in self.steps / self.steps.sum()]
        return (
            f"{self.images} images: the same answer to {100 * self.same_answer / self.images:.2f} % (ties among the "
            f"{self.images - self.same_answer} others: {self.ties}); logits equal {shares[0]} %, one step off "
            f"{shares[1]} %; top-1 {100 * self.right / self.images:.2f} %, of the file "
            f"{100 * self.right_in_the_file / self.images:.2f} %"
        )


def main() -> None:
    """Print both comparisons for every network."""
    parser = subjects_parser(__doc__, image_size=32)
    parser.add_argument("--target", required=True)
    arguments = parser.parse_args()
    for subject in subjects(arguments):
        compared(subject, arguments.target)


def compared(subject: Subject, target: str) -> None:
    """Write the file, run all three on every test image, and print what was found, the last line that of all images."""
    images = subject.data.train_images(CALIBRATION, subject.seed)
    normalization = subject.normalization.mean, subject.normalization.std
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"net.{target}.pte")
        file = FileExport(path, images[:1], normalization, None, None, {}, subject.task, None)
        conversion = file.conversion(subject.net, fold_batchnorm(for_cpu(subject.net)), images)
        with quiet():
            exact = EthosU().write(conversion, path)
            flow = calibrated(conversion, EthosU().quantizer(conversion, qat=False))
        assert exact is not None
        program = find_runtime("ethos_u").load(path)
        step = IntegerGraph.from_facts(read_metadata(path), path).outputs[0].scale
    references: dict[str, tuple[nn.Module, Count]] = {
        "proved against": (exact, Count(step)),
        "torchao's": (flow, Count(step)),
    }
    for batch, labels in test_batches(subject.data):
        of_the_file = answers_of(program)(batch)
        for name, (net, count) in references.items():
            with torch.inference_mode():
                logits = torch.cat([net(piece) for piece in batch.split(CALIBRATION_BATCH)])
            count.add(logits, of_the_file, labels)
            print(f"{subject.label}, {name}: {count.describe()}", flush=True)


if __name__ == "__main__":
    main()
