"""How ONNX files in 8 bits answer where pairs of products are added in 16 bits, by how their weights are rounded.

    python benchmarks/saturation.py RUN --nets teacher
    python benchmarks/saturation.py NET=WEIGHTS --data FOLDER [--image-size N] [--fitted]

Weights have 8 bits, 7 bits, or as many as no two of a channel saturate with (as the package writes them). Each file is
run by ONNX Runtime's kernels for this processor, which saturate where it is x86 without VNNI, and without its
optimisations, in float32, which is exact. ``--fitted`` first takes the shortcuts away, by fitting the blocks.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import onnxruntime
import torch
from eight_bits import CALIBRATION, Subject, subjects, subjects_parser, test_batches
from torch import Tensor

from unskip.export import export_net
from unskip.export.formats.base import Format
from unskip.export.formats.onnx import Onnx
from unskip.surgery import fit_without_shortcuts

ROUNDED = {
    "8 bits": Format.weight_steps,
    "7 bits": lambda _, weight: weight.abs().flatten(1).amax(1) / 64,
    "no pair saturates": Onnx.weight_steps,
}
BATCH = 32


def main() -> None:
    """Print a line for every way to round and to compute."""
    parser = subjects_parser(__doc__, image_size=32)
    parser.add_argument("--fitted", action="store_true", help="without shortcuts, on 256 images")
    arguments = parser.parse_args()
    for subject in subjects(arguments):
        measured(fitted(subject) if arguments.fitted else subject)


def fitted(subject: Subject) -> Subject:
    """The same without shortcuts."""
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in vars(subject.normalization).values())
    images = (subject.data.train_images(CALIBRATION + BATCH, subject.seed) - mean) / std
    net = fit_without_shortcuts(subject.net, images.split(BATCH)).net
    return replace(subject, label=f"{subject.label}, fitted", net=net)


def measured(subject: Subject) -> None:
    """Write the files, run each in both ways on all test images."""
    images, labels = (torch.cat(each) for each in zip(*test_batches(subject.data), strict=True))
    calibration = subject.data.train_images(CALIBRATION, subject.seed)
    normalization = subject.normalization.mean, subject.normalization.std
    with tempfile.TemporaryDirectory() as folder:

        def written(name: str, **settings: object) -> Path:
            path = Path(folder, f"{name}.onnx")
            export_net(subject.net, path, calibration[:BATCH], normalization=normalization, **settings)  # type: ignore[arg-type]
            return path

        expected, _ = answers(written("float32"), images, exact=False)
        print(f"{subject.label}: float32, {said(expected, expected, labels)}", flush=True)
        for name, steps in ROUNDED.items():
            with mock.patch.object(Onnx, "weight_steps", steps):
                path = written(name, calibration=calibration, max_drop=None)
            for exact in (True, False):
                logits, seconds = answers(path, images, exact=exact)
                how = "exactly" if exact else f"by this processor's kernels, {seconds:.1f} s"
                print(f"{subject.label}: {name}, {how}: {said(logits, expected, labels)}", flush=True)


def answers(path: Path, images: Tensor, *, exact: bool) -> tuple[Tensor, float]:
    """Logits, and the seconds that they took on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    start = time.perf_counter()
    logits = [session.run(None, {"images": batch.numpy()})[0] for batch in images.split(BATCH)]
    return torch.from_numpy(np.concatenate(logits)), time.perf_counter() - start


def said(logits: Tensor, expected: Tensor, labels: Tensor) -> str:
    """In words."""
    same = (logits.argmax(1) == expected.argmax(1)).double().mean()
    error = (logits - expected).norm() / expected.norm()
    words = f"the same answer to {100 * same:.1f} % of {len(labels)} images, logits off by {100 * error:.1f} %"
    if logits.shape[1] > int(labels.max()) + 1:
        return words
    return f"{words}, top-1 {100 * (logits.argmax(1) == labels).double().mean():.2f} %"


if __name__ == "__main__":
    main()
