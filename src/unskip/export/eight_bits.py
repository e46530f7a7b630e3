"""A file in 8 bits: quantised after training and, where that loses too much, by training; the better one is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch.fx import GraphModule

from unskip.answers import LOGITS
from unskip.errors import UnskipError, first_line
from unskip.export.fake_quantized import FakeQuantized
from unskip.export.file_export import FileCheck, FileExport
from unskip.export.formats.base import Conversion
from unskip.export.proof import Exported, Quantization, Scores, has_other_integers, refuse_drop, refuse_other_integers
from unskip.files import atomic_paths
from unskip.machine_memory import keep_freed_memory
from unskip.nets import StagedNet
from unskip.quiet import quiet

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
    """A file that may be kept, in a folder of its own."""

    folder: Path
    proof: FileCheck
    requantized_additions: int

    @property
    def rank(self) -> tuple[bool, float]:
        """The better the higher; first comes that the file computes what its quantised network does."""
        score = 0.0 if self.proof.scores is None else self.proof.scores.file.value
        return not has_other_integers(self.proof.integers), score


def exported_in_8_bits(
    file: FileExport,
    net: StagedNet,
    conversion: Conversion,
    max_drop: float | None,
    qat: QuantizationAwareTraining | None,
) -> Exported:
    """Write a network in 8 bits and keep it when its score is at most ``max_drop`` lower than in float32.

    Raises `UnskipError` for what is refused; None allows any score.
    """
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        after = _candidate(file, net, conversion, Path(folder) / "after")
        trained, note = None, ""
        scores = after.proof.scores
        # A network that 8 bits have broken amplifies rounding, so that its file may differ from it as well.
        if qat and scores and (scores.drop > qat.allowed_loss or has_other_integers(after.proof.integers)):
            try:
                network = _trained(file, net, conversion, qat, scores)
                trained = _candidate(file, net, replace(conversion, trained=network), Path(folder) / "trained")
            except UnskipError as error:
                note = str(error)
        best = trained if trained is not None and trained.rank > after.rank else after
        refuse_other_integers(file.path, best.proof.integers)
        if max_drop is not None:
            refuse_drop(file.path, best.proof.agreement, best.proof.scores, max_drop)
        with atomic_paths(file.format.files(file.path)) as places:
            for place in places:
                shutil.copyfile(best.folder / place.name, place)
            deployed = {part.name for part in file.format.deployed(file.path)}
            file_bytes = sum(place.stat().st_size for place in places if place.name in deployed)
    quantization = scores and Quantization(
        post_training=scores.file,
        quantization_aware=trained.proof.scores.file if trained is not None and trained.proof.scores else None,
        epochs=qat.epochs if qat and trained else 0,
        requantized_additions=best.requantized_additions,
        trained_is_kept=best is trained,
        note=note,
    )
    return file.exported(
        best.proof, file_bytes, depth=None, tolerance=None, precision="int8", quantization=quantization
    )


def _candidate(file: FileExport, net: StagedNet, conversion: Conversion, folder: Path) -> _Candidate:
    """Write a network in 8 bits into a folder of its own, and see what it can do."""
    folder.mkdir()
    place = folder / file.path.name
    quantized = file.write(lambda path: file.format.write(conversion, path), place)
    proof = file.prove(place, net, quantized=quantized)
    return _Candidate(folder, proof, file.format.requantized_additions(place, quantized))


def _trained(
    file: FileExport, net: StagedNet, conversion: Conversion, qat: QuantizationAwareTraining, scores: Scores
) -> GraphModule:
    """The network in 8 bits after quantisation-aware training; `UnskipError` where there can be none."""
    format_ = file.format
    if not format_.qat:
        raise UnskipError(f"{format_.name} files are quantised after training only")
    if conversion.names != LOGITS:
        raise UnskipError("only networks that answer with one tensor are trained in 8 bits")

    def fake_quantized() -> FakeQuantized:
        return FakeQuantized.of(conversion, format_.quantizer(conversion, qat=True), net)

    fake = _quietly(file, fake_quantized)
    qat.train(fake.student, scores)
    return _quietly(file, fake.finished)


def _quietly(file: FileExport, work: Callable[[], T]) -> T:
    """What a quantiser makes, with `UnskipError` for whatever it fails with."""
    try:
        with quiet():
            return work()
    except UnskipError:
        raise
    except Exception as error:  # quantisers fail in ways of their own
        raise UnskipError(f"{file.format.name} cannot train this network in 8 bits ({first_line(error)})") from error
