"""A file in 8 bits: quantised after training and, where that loses too much, by training; the better one is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from unskip.answers import LOGITS
from unskip.errors import UnskipError, first_line
from unskip.export.formats.base import Conversion, EightBits
from unskip.export.one_file import OneFile, for_cpu
from unskip.export.proof import Agreement, Exported, Quantization, Scores, refuse_drop
from unskip.export.pt2e import FakeQuantized
from unskip.files import atomic_paths
from unskip.nets import StagedNet
from unskip.quiet import quiet
from unskip.surgery import fold_batchnorm

T = TypeVar("T")

LOSS_WITHOUT_TRAINING = 0.005  # as a share of 1


@dataclass(frozen=True)
class QuantizationAwareTraining:
    """How a network is trained on when 8 bits cost it more than ``allowed_loss``, a share of 1.

    ``train`` trains a network with fake quantisation in place, for ``epochs``; it is called with what post-training
    quantisation lost. It may raise `UnskipError`: the file is then the one without training, and the record says why.
    """

    train: Callable[[StagedNet, Scores], None]
    epochs: int
    allowed_loss: float = LOSS_WITHOUT_TRAINING


@dataclass(frozen=True)
class _Candidate:
    folder: Path
    agreement: Agreement
    scores: Scores
    requantized_additions: int


def exported_in_8_bits(
    file: OneFile, net: StagedNet, calibration: Tensor, max_drop: float, qat: QuantizationAwareTraining | None
) -> Exported:
    """Write a network in 8 bits and keep it when its score is at most ``max_drop`` lower than in float32.

    calibration: images (N, C, H, W), scaled or normalised as the file's. Raises `UnskipError` for what is refused.
    """
    if not len(calibration):
        raise UnskipError("8 bits are calibrated on images, and there are none")
    calibration = calibration.detach().to("cpu", torch.float32)
    conversion = file.conversion(net, fold_batchnorm(for_cpu(net)), precision="int8")
    with tempfile.TemporaryDirectory() as folder:
        after = _candidate(file, net, Path(folder) / "after", conversion, _calibrated(file, conversion, calibration))
        trained, note = None, ""
        if qat is not None and after.scores.drop > qat.allowed_loss:
            try:
                eight_bits = _trained(file, net, conversion, calibration, qat, after.scores)
                trained = _candidate(file, net, Path(folder) / "trained", conversion, lambda: eight_bits)
            except UnskipError as error:
                note = str(error)
        best = trained if trained and trained.scores.file.value > after.scores.file.value else after
        refuse_drop(file.path, best.agreement, best.scores, max_drop)
        with atomic_paths(file.format.files(file.path)) as places:
            for place in places:
                shutil.copyfile(best.folder / place.name, place)
            file_bytes = sum(place.stat().st_size for place in places)
    quantization = Quantization(
        post_training=after.scores.file,
        quantization_aware=trained and trained.scores.file,
        epochs=qat.epochs if qat and trained else 0,
        requantized_additions=best.requantized_additions,
        note=note,
    )
    return file.exported(
        best.agreement, best.scores, file_bytes, depth=None, tolerance=None, precision="int8", quantization=quantization
    )


def _candidate(
    file: OneFile, net: StagedNet, folder: Path, conversion: Conversion, quantized: Callable[[], EightBits]
) -> _Candidate:
    """Write a network in 8 bits into a folder of its own, and see what it can do."""
    folder.mkdir()
    place = folder / file.path.name
    counts = []

    def write(path: Path) -> None:
        eight_bits = quantized()
        counts.append(eight_bits.requantized_additions)
        file.format.write(replace(conversion, eight_bits=eight_bits), path)

    file.write(write, place)
    agreement, scores = file.prove(place, net, None)
    assert scores is not None, "8 bits are judged by their score"
    return _Candidate(folder, agreement, scores, counts[0])


def _calibrated(file: OneFile, conversion: Conversion, calibration: Tensor) -> Callable[[], EightBits]:
    return lambda: file.format.quantized(conversion, calibration)


def _trained(
    file: OneFile,
    net: StagedNet,
    conversion: Conversion,
    calibration: Tensor,
    qat: QuantizationAwareTraining,
    scores: Scores,
) -> EightBits:
    """The network in 8 bits after quantisation-aware training; `UnskipError` where there can be none."""
    format_ = file.format
    if not format_.qat:
        raise UnskipError(f"{format_.name} files are quantised after training only")
    if conversion.names != LOGITS:
        raise UnskipError("only networks that answer with one tensor are trained in 8 bits")

    def fake_quantized() -> FakeQuantized:
        return FakeQuantized.of(conversion, calibration, format_.quantizer(conversion, qat=True), net)

    fake = _quietly(file, fake_quantized)
    qat.train(fake.student, scores)
    return _quietly(file, lambda: format_.trained(fake.program(), conversion))


def _quietly(file: OneFile, work: Callable[[], T]) -> T:
    """What a quantiser makes, with `UnskipError` for whatever it fails with."""
    try:
        with quiet():
            return work()
    except UnskipError:
        raise
    except Exception as error:  # quantisers fail in ways of their own
        raise UnskipError(f"{file.format.name} cannot train this network in 8 bits ({first_line(error)})") from error
