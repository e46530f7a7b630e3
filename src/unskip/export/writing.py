"""Write a network in any format, read the file back, and keep it when it is proved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from unskip.answers import LOGITS
from unskip.errors import UnskipError
from unskip.export.eight_bits import QuantizationAwareTraining, exported_in_8_bits
from unskip.export.file_export import Batches, FileExport, Normalization, for_cpu
from unskip.export.formats import FORMATS, format_for
from unskip.export.proof import Exported
from unskip.nets import StagedNet, staged
from unskip.runtimes import Configuration
from unskip.surgery import fold_batchnorm, with_recalibrated_statistics
from unskip.tasks import Task

_UNTRAINED_TOLERANCE = 0.05  # rounding grows in networks that nothing has trained, and their logits do not matter

CALIBRATION_IMAGES = 256
"""Training images that decide the ranges of 8 bits, unless somebody says how many."""


def export_net(
    net: nn.Module,
    path: str | Path,
    images: Tensor,
    *,
    metadata: Mapping[str, str] | None = None,
    normalization: Normalization | None = None,
    batch_size: int | None = None,
    backend: str | None = None,
    tolerance: float = 1e-3,
    task: Task | None = None,
    test: Batches | None = None,
    calibration: Tensor | None = None,
    max_drop: float | None = 0.05,
    qat: QuantizationAwareTraining | None = None,
    device: Configuration | None = None,
) -> Exported:
    """Write a network in the format that the file's ending names, and prove the file on real images (N, C, H, W).

    The file holds the network for inference, BatchNorm folded, weights included. With ``normalization``, mean and
    standard deviation by channel, it normalises by itself and takes images scaled to 0..1; ``images`` and all others
    here are such ones then. ``batch_size`` None leaves it free where the format can (ExecuTorch: 1). ``backend`` is for
    ExecuTorch, ``xnnpack`` or ``portable``. The metadata are ``metadata`` together with the input's shape, the
    normalisation, the precision, the net's spec and the version of unskip.

    The file is run by its own runtime on ``images`` and compared with the network as it is, in float32; ``task``, by
    default what fits the answers, says how far they agree. With ``calibration``, training images, the file computes
    with 8-bit integers, its biases corrected for them. Then ``test``, batches of images and labels that can be gone
    through twice, decides: its score may lie below the network's by ``max_drop``, None for any. Where it lies lower
    than ``qat`` allows, the network is trained on with fake quantisation, and the better of the two files is kept.
    Where the format quantises by itself, the file is compared with the quantised network too. A network that answers
    with several tensors becomes a file of several outputs, named after their places in the structure. ``device``
    configures the one that the file's ending names, such as ``.ethos-u65-256.pte``; by default it is as usual.

    Raises `UnskipError` for a file that deviates, for what the format cannot do, and where its runtime is not
    installed. What stood at ``path`` before is then still there.
    """
    net = staged(net, images)
    file = FileExport(Path(path), images, normalization, batch_size, backend, metadata or {}, task, test, device)
    if calibration is not None and not file.format.int8:
        raise UnskipError(
            f"{file.format.name} files are written in float32 only; 8 bits (`int8`) are for {_able('int8')}"
        )
    if calibration is None and not file.format.float32:
        raise UnskipError(f"{file.format.name} files compute in 8 bits only: give images to calibrate on (`int8`)")
    if calibration is not None and not len(calibration):
        raise UnskipError("8 bits are calibrated on images, and there are none")
    conversion = file.conversion(net, fold_batchnorm(for_cpu(net)), calibration=calibration)
    if calibration is not None:
        return exported_in_8_bits(file, net, conversion, max_drop, qat)
    return file.kept([(None, net)], lambda place: file.format.write(conversion, place), tolerance)[0]


def export_untrained(
    net: StagedNet,
    path: Path,
    input_shape: tuple[int, int, int],
    *,
    batch_size: int | None = None,
    device: Configuration | None = None,
) -> Exported:
    """Write a network with random weights, proved on random images of (channels, height, width); see `export_net`.

    Its BatchNorms get the statistics of its own maps: without them maps vanish or explode on their way through many
    layers, and tiny numbers are slow to compute with.
    """
    images = torch.rand(4, *input_shape, generator=torch.Generator().manual_seed(0))
    ready = with_recalibrated_statistics(net, [images])
    calibration = None if format_for(path).float32 else images
    return export_net(
        ready,
        path,
        images[:1] if calibration is not None else images,  # a model of the device's integers takes seconds for each
        batch_size=batch_size,
        tolerance=_UNTRAINED_TOLERANCE,
        calibration=calibration,
        max_drop=None,
        device=device,
    )


def export_switchable(
    nets: Mapping[str, StagedNet],
    path: str | Path,
    images: Tensor,
    *,
    metadata: Mapping[str, str] | None = None,
    normalization: Normalization | None = None,
    batch_size: int | None = None,
    backend: str | None = None,
    tolerance: float = 1e-3,
    task: Task | None = None,
    test: Batches | None = None,
) -> list[Exported]:
    """Write networks of several depths, the full one first, into one file in which equal weights are stored once.

    ONNX: a second input, ``depth``, is an index into the names of ``nets``, which the metadata have as ``depths``.
    ExecuTorch, for its portable kernels: a method for each, ``forward`` for the first. BatchNorm is folded only where
    that leaves the weights shared. Every depth is proved as :func:`export_net` does it; the file is refused when one of
    them deviates.
    """
    format_ = format_for(Path(path))
    if not format_.switchable:
        raise UnskipError(f"{format_.name} files hold one depth; several in one file are for {_able('switchable')}")
    facts = {**(metadata or {}), "depths": json.dumps(list(nets))}
    backend = backend or format_.depths_backend
    file = FileExport(Path(path), images, normalization, batch_size, backend, facts, task, test)
    conversions = {
        name: file.conversion(nets[name], ready)
        for name, ready in zip(nets, _sharing([for_cpu(net) for net in nets.values()]), strict=True)
    }
    if any(conversion.names != LOGITS for conversion in conversions.values()):
        raise UnskipError("several depths in one file are for networks that answer with logits")
    return file.kept(nets.items(), lambda place: format_.write_depths(conversions, place), tolerance)


def _sharing(nets: Sequence[StagedNet]) -> Sequence[StagedNet]:
    """The networks with BatchNorm folded, or as they are where folding would part weights that they share."""
    folded = [fold_batchnorm(net) for net in nets]
    return folded if _different_bytes(folded) <= _different_bytes(nets) else nets


def _different_bytes(nets: Sequence[StagedNet]) -> int:
    """What the weights of networks take when equal ones are stored once."""
    contents = {
        tensor.numpy().tobytes() for net in nets for tensor in net.state_dict().values() if tensor.is_floating_point()
    }
    return sum(map(len, contents))


def _able(ability: str) -> str:
    return ", ".join(name for name, format_ in FORMATS.items() if getattr(format_, ability))
