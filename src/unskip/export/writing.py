"""Write a network in any format, read the file back, and keep it when it is proved."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unskip.environment import package_version
from unskip.errors import UnskipError
from unskip.export.base import Conversion, Format, normalized
from unskip.export.formats import FORMATS, format_for
from unskip.export.proof import Accuracies, Agreement, compare, compare_accuracy, logits_of
from unskip.files import atomic_paths
from unskip.nets import StagedNet
from unskip.quiet import quiet
from unskip.surgery import fold_batchnorm

__all__ = ["Exported", "Normalization", "export_net"]

Normalization = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Exported:
    """A file that was written and proved.

    ``file_bytes`` counts all files that belong to it. ``max_difference`` and ``mean_difference`` compare its logits
    with those of the network, relative to the largest absolute logit; ``agreement`` is the share of ``images`` with the
    same top-1 class. ``tolerance`` is None for 8 bits, where ``accuracies`` decide. ``batch_size`` None means any.
    """

    path: Path
    format: str
    runtime: str
    precision: str
    batch_size: int | None
    file_bytes: int
    max_difference: float
    mean_difference: float
    tolerance: float | None
    agreement: float
    images: int
    accuracies: Accuracies | None

    def describe(self) -> str:
        """What was found, in a line."""
        takes = "any batch" if self.batch_size is None else f"batch {self.batch_size}"
        allowed = "" if self.tolerance is None else f" (tolerance {self.tolerance:.0e})"
        words = [
            f"{self.path}: {self.file_bytes:,} bytes, {self.precision}, {takes}, run by {self.runtime}",
            f"differs by at most {self.max_difference:.1e} of the largest logit{allowed}",
            f"same top-1 on {100 * self.agreement:.2f} % of {self.images} images",
        ]
        if self.accuracies:
            file, net = 100 * self.accuracies.file, 100 * self.accuracies.net
            words.append(f"top-1 {file:.2f} %, the network {net:.2f} %, on {self.accuracies.images:,} images")
        return "; ".join(words)


def export_net(
    net: StagedNet,
    path: str | Path,
    images: Tensor,
    *,
    metadata: Mapping[str, str] | None = None,
    normalization: Normalization | None = None,
    batch_size: int | None = None,
    backend: str | None = None,
    tolerance: float = 1e-3,
    test: Iterable[tuple[Tensor, Tensor]] | None = None,
    calibration: Tensor | None = None,
    max_drop: float = 0.05,
) -> Exported:
    """Write a network in the format that the file's ending names, and prove the file on real images (N, C, H, W).

    The file holds the network for inference, BatchNorm folded, weights included. With ``normalization``, mean and
    standard deviation by channel, it normalises by itself and takes images scaled to 0..1; ``images`` and all others
    here are such ones then. ``batch_size`` None leaves it free where the format can (ExecuTorch: 1). ``backend`` is for
    ExecuTorch, ``xnnpack`` or ``portable``. The metadata are ``metadata`` together with the input's shape, the
    normalisation, the precision, the net's spec and the version of unskip.

    The file is run by its own runtime on ``images`` and compared with the network as it is, in float32. With
    ``calibration``, training images, the file computes with 8-bit integers, for which ``test``, batches of images and
    labels, decides instead: its accuracy may lie below the network's by ``max_drop``.

    Raises `UnskipError` for a file that deviates, for what the format cannot do, and where its runtime is not
    installed. What stood at ``path`` before is then still there.
    """
    path = Path(path)
    format_ = format_for(path)
    backend = _backend(format_, backend)
    if calibration is not None and not format_.int8:
        able = ", ".join(name for name, other in FORMATS.items() if other.int8)
        raise UnskipError(f"{format_.name} files are written in float32 only; --int8 is for {able}")
    if not len(images) or (calibration is not None and not len(calibration)):
        raise UnskipError("an export is proved on images, and there are none")
    format_.runtime.require()
    if batch_size is None and not format_.free_batch:
        batch_size = 1
    images = images.detach().to("cpu", torch.float32)
    eager = copy.deepcopy(net).to("cpu", torch.float32).eval()
    folded = fold_batchnorm(eager)
    facts = _facts(net, images, normalization, "float32" if calibration is None else "int8") | dict(metadata or {})
    conversion = Conversion(
        net=folded if normalization is None else normalized(folded, *normalization),
        input_shape=(images.shape[1], images.shape[2], images.shape[3]),
        batch_size=batch_size,
        facts=facts,
        backend=backend,
        calibration=None if calibration is None else calibration.detach().to("cpu", torch.float32),
    )
    expected = eager if normalization is None else normalized(eager, *normalization)
    with atomic_paths(format_.files(path)) as temporary:
        written = next(file for file in temporary if file.name == path.name)
        _write(format_, conversion, written)
        program = logits_of(format_.runtime.load(written))
        found = compare(expected, program, images, free_batch=batch_size is None)
        accuracies = None if test is None else compare_accuracy(expected, program, test)
        if calibration is None:
            _refuse_deviation(path, found, tolerance)
        else:
            assert accuracies is not None, "8 bits are judged by their accuracy"
            _refuse_drop(path, found, accuracies, max_drop)
        file_bytes = sum(file.stat().st_size for file in temporary)
    return Exported(
        path=path,
        format=format_.name,
        runtime=format_.runtime.version,
        precision=facts["precision"],
        batch_size=batch_size,
        file_bytes=file_bytes,
        max_difference=found.max_difference,
        mean_difference=found.mean_difference,
        tolerance=tolerance if calibration is None else None,
        agreement=found.agreement,
        images=found.images,
        accuracies=accuracies,
    )


def _backend(format_: Format, wanted: str | None) -> str | None:
    if wanted is None:
        return format_.backends[0] if format_.backends else None
    if wanted not in format_.backends:
        known = ", ".join(f"{name}: {' or '.join(other.backends)}" for name, other in FORMATS.items() if other.backends)
        raise UnskipError(f"{format_.name} has no backend {wanted!r}; there are {known}")
    return wanted


def _facts(net: StagedNet, images: Tensor, normalization: Normalization | None, precision: str) -> dict[str, str]:
    facts = {
        "unskip": package_version(),
        "image_shape": json.dumps(list(images.shape[1:])),
        "normalization": "outside" if normalization is None else "inside",
        "precision": precision,
    }
    if normalization is not None:
        facts |= {name: json.dumps(list(values)) for name, values in zip(("mean", "std"), normalization, strict=True)}
    return facts | ({"net": json.dumps(net.spec.to_json())} if net.spec else {})


def _write(format_: Format, conversion: Conversion, path: Path) -> None:
    with quiet():
        format_.write(conversion, path)
        facts = format_.runtime.read_metadata(path)
    assert facts == conversion.facts, "a format keeps its metadata"


def _refuse_deviation(path: Path, found: Agreement, tolerance: float) -> None:
    if not found.max_difference <= tolerance:  # NaN included
        raise UnskipError(
            f"{path} was not written: its logits differ from the network's by {found.max_difference:.2g} of the "
            f"largest logit, and {tolerance:.2g} is allowed; top-1 agrees on {found.agreement:.1%} of "
            f"{found.images} images"
        )


def _refuse_drop(path: Path, found: Agreement, accuracies: Accuracies, max_drop: float) -> None:
    drop = accuracies.net - accuracies.file
    if not drop <= max_drop:
        raise UnskipError(
            f"{path} was not written: in 8 bits its accuracy is {accuracies.file:.2%}, {drop:.2%} below the network's "
            f"{accuracies.net:.2%} on {accuracies.images:,} images, and {max_drop:.2%} is allowed (--max-drop); top-1 "
            f"agrees on {found.agreement:.1%}"
        )
