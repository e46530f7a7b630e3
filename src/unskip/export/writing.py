"""Write a network in any format, read the file back, and keep it when it is proved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from unskip.answers import LOGITS, answer_names
from unskip.errors import UnskipError, first_line
from unskip.export.formats import FORMATS, format_for
from unskip.export.formats.base import Conversion, Format, flat, normalized
from unskip.export.proof import (
    Agreement,
    Exported,
    Scores,
    answers_of,
    compare,
    compare_scores,
    refuse_deviation,
    refuse_drop,
    refuse_other_arithmetic,
    refuse_other_integers,
)
from unskip.files import atomic_paths
from unskip.nets import StagedNet, staged
from unskip.quiet import quiet
from unskip.runtimes import Configuration, Estimator, configured
from unskip.surgery import extract, fold_batchnorm, with_recalibrated_statistics
from unskip.tasks import Classification, Matching, Task

_UNTRAINED_TOLERANCE = 0.05  # rounding grows in networks that nothing has trained, and their logits do not matter

CALIBRATION_IMAGES = 256
"""Training images that decide the ranges of 8 bits, unless somebody says how many."""

Normalization = tuple[Sequence[float], Sequence[float]]
Batches = Iterable[tuple[Tensor, Tensor]]  # gone through as often as there are networks


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
    with 8-bit integers, for which ``test``, batches of images and labels that can be gone through twice, decides
    instead: its score may lie below the network's by ``max_drop``, None for any; where the format quantises by itself,
    the file is compared with the quantised network too. A network that answers with several tensors becomes a file of
    several outputs, named after their places in the structure. ``device`` configures the one that the file's ending
    names, such as ``.ethos-u65-256.pte``; by default it is as usual.

    Raises `UnskipError` for a file that deviates, for what the format cannot do, and where its runtime is not
    installed. What stood at ``path`` before is then still there.
    """
    net = staged(net, images)
    order = _Order(Path(path), images, normalization, batch_size, backend, metadata or {}, task, test, device)
    if calibration is not None and not order.format.int8:
        raise UnskipError(
            f"{order.format.name} files are written in float32 only; 8 bits (`int8`) are for {_able('int8')}"
        )
    if calibration is None and not order.format.float32:
        raise UnskipError(f"{order.format.name} files compute in 8 bits only: give images to calibrate on (`int8`)")
    if calibration is not None and not len(calibration):
        raise UnskipError("8 bits are calibrated on images, and there are none")
    conversion = order.conversion(net, fold_batchnorm(_for_cpu(net)), calibration=calibration)
    limit = tolerance if calibration is None else None
    return order.kept([(None, net)], lambda place: order.format.write(conversion, place), limit, max_drop)[0]


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
    order = _Order(Path(path), images, normalization, batch_size, backend, facts, task, test)
    conversions = {
        name: order.conversion(nets[name], ready)
        for name, ready in zip(nets, _sharing([_for_cpu(net) for net in nets.values()]), strict=True)
    }
    if any(conversion.names != LOGITS for conversion in conversions.values()):
        raise UnskipError("several depths in one file are for networks that answer with logits")
    return order.kept(nets.items(), lambda place: format_.write_depths(conversions, place), tolerance)


@dataclass
class _Order:
    """What is the same for all networks of a file; `UnskipError` for what cannot be carried out."""

    path: Path
    images: Tensor
    normalization: Normalization | None
    batch_size: int | None
    backend: str | None
    metadata: Mapping[str, str]
    task: Task | None
    test: Batches | None

    device: Configuration | None = None

    def __post_init__(self) -> None:
        self.format = format_for(self.path)
        self.device = _device(self.path, self.format, self.device)
        self.backend = _backend(self.format, self.backend)
        if not len(self.images):
            raise UnskipError("an export is proved on images, and there are none")
        self.format.runtime.require()
        if self.batch_size is None and not self.format.free_batch:
            self.batch_size = 1
        self.images = self.images.detach().to("cpu", torch.float32)

    def conversion(self, net: StagedNet, ready: StagedNet, calibration: Tensor | None = None) -> Conversion:
        """What the format gets: the network as it is ready to be written, and the facts about it."""
        shape = self.images.shape[1:]
        facts = {
            "unskip": version("unskip"),
            "image_shape": json.dumps(list(shape)),
            "normalization": "outside" if self.normalization is None else "inside",
            "precision": "float32" if calibration is None else "int8",
        }
        if self.normalization is not None:
            mean, std = self.normalization
            facts |= {"mean": json.dumps(list(mean)), "std": json.dumps(list(std))}
        if net.spec is not None:
            facts["net"] = json.dumps(net.spec.to_json())
        ready_net = self._normalized(ready)
        with torch.no_grad():
            names = answer_names(ready_net(self.images[:1]))
        if not isinstance(names, str):
            facts["answers"] = json.dumps(names)
            ready_net = flat(ready_net)
        return Conversion(
            net=ready_net,
            names=names,
            input_shape=(shape[0], shape[1], shape[2]),
            batch_size=self.batch_size,
            facts=facts | dict(self.metadata),
            backend=self.backend,
            calibration=None if calibration is None else calibration.detach().to("cpu", torch.float32),
            normalization=self.normalization,
            device=self.device,
        )

    def kept(
        self,
        nets: Iterable[tuple[str | None, StagedNet]],
        write: Callable[[Path], nn.Module | None],
        tolerance: float | None,
        max_drop: float | None = 0.0,
    ) -> list[Exported]:
        """Write the networks, by their depths, prove each, and let the file take its place when none is refused.

        What decides is ``tolerance``, or where that is None, in 8 bits, ``max_drop``.
        """
        with atomic_paths(self.format.files(self.path)) as files:
            written = next(file for file in files if file.name == self.path.name)
            try:
                with quiet():
                    quantized = write(written)
            except (UnskipError, OSError):
                raise
            except Exception as error:  # exporters fail in ways of their own
                raise UnskipError(
                    f"{self.path} was not written: {self.format.name} files cannot hold this network "
                    f"({first_line(error)})"
                ) from error
            proved = [(depth, *self._prove(written, net, depth, quantized)) for depth, net in nets]
            for _, agreement, scores, integers in proved:
                if integers is not None:
                    refuse_other_integers(self.path, integers)
                if tolerance is not None:
                    refuse_deviation(self.path, agreement, tolerance)
                elif max_drop is not None:
                    refuse_drop(self.path, agreement, scores, max_drop)
            file_bytes = sum(file.stat().st_size for file in files)
        return [
            Exported(
                path=self.path,
                depth=depth,
                format=self.format.name,
                runtime=self.format.runtime.version,
                precision="int8" if tolerance is None else "float32",
                batch_size=self.batch_size,
                file_bytes=file_bytes,
                tolerance=tolerance,
                scores=scores,
                quantized=integers,
                **vars(agreement),
            )
            for depth, agreement, scores, integers in proved
        ]

    def _prove(
        self, written: Path, net: StagedNet, depth: str | None, quantized: nn.Module | None
    ) -> tuple[Agreement, Scores | None, Agreement | None]:
        """Run a file by its own runtime beside the network as it is, and beside its quantised form if there is one."""
        program = self.format.runtime.load(written, depth=depth)
        refuse_other_arithmetic(self.path, program, self.images)
        file = answers_of(program)
        eager = self._normalized(_for_cpu(net))
        task = self.task or _usual_task(eager, self.images[:1])
        free = self.batch_size is None
        agreement = compare(eager, file, self.images, task, free_batch=free)
        integers = None if quantized is None else compare(quantized, file, self.images, task, free_batch=free)
        return agreement, None if self.test is None else compare_scores(eager, file, self.test, task), integers

    def _normalized(self, net: nn.Module) -> nn.Module:
        return net if self.normalization is None else normalized(net, *self.normalization)


def _usual_task(net: nn.Module, image: Tensor) -> Task:
    """Classification for a network that gives logits; for any other, to answer as it does."""
    with torch.no_grad():
        logits = answer_names(net(image)) == LOGITS
    return Classification() if logits else Matching().with_teacher(net)


def _for_cpu(net: StagedNet) -> StagedNet:
    """A copy for inference in float32; exporters write channels-last weights as another graph."""
    copied = extract(net).to("cpu", torch.float32).eval()
    return copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


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


def _able(what: str) -> str:
    return ", ".join(name for name, format_ in FORMATS.items() if getattr(format_, what))


def _backend(format_: Format, wanted: str | None) -> str | None:
    if wanted is None:
        return format_.backends[0] if format_.backends else None
    if wanted not in format_.backends:
        known = ", ".join(f"{name}: {' or '.join(other.backends)}" for name, other in FORMATS.items() if other.backends)
        raise UnskipError(f"{format_.name} has no backend {wanted!r}; there are {known}")
    return wanted


def _device(path: Path, format_: Format, wanted: Configuration | None) -> Configuration | None:
    """The device that a file is compiled for, None where its format is for any; `UnskipError` for another one."""
    runtime = format_.runtime
    if not isinstance(runtime, Estimator):
        if wanted is not None:
            raise UnskipError(f"{path.name} is a file for no device in particular; leave out `target` {wanted.target}")
        return None
    target = next(each for each in runtime.targets if path.name.lower().endswith(runtime.ending(each)))
    if wanted is not None and wanted.target != target:
        raise UnskipError(f"{path.name} is a file for {target}, and `target` is {wanted.target}")
    return wanted or configured(target)
