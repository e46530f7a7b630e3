"""One file on its way: written, read back by its runtime, and kept when it is proved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unskip.answers import LOGITS, answer_names, tensors_in, with_tensors
from unskip.errors import UnskipError, first_line
from unskip.export.bias_correction import correct_biases
from unskip.export.formats import FORMATS, format_for
from unskip.export.formats.base import CALIBRATION_BATCH, Conversion, Format, flat, normalized
from unskip.export.proof import (
    Agreement,
    Exported,
    Scores,
    answers_of,
    compare,
    compare_scores,
    refuse_deviation,
    refuse_other_arithmetic,
)
from unskip.files import atomic_paths
from unskip.nets import StagedNet
from unskip.quiet import quiet
from unskip.runtimes import Configuration, Estimator, configured
from unskip.surgery import extract
from unskip.tasks import Answers, Classification, Matching, Task

Normalization = tuple[Sequence[float], Sequence[float]]
Batches = Iterable[tuple[Tensor, Tensor]]  # gone through as often as there are networks


@dataclass(frozen=True)
class FileCheck:
    """A file beside its network, on a few images and on the test images, and beside the quantised network."""

    agreement: Agreement
    scores: Scores | None
    integers: Agreement | None


@dataclass
class FileExport:
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
        """What the format gets: the network as it is ready to be written, and the facts about it.

        With ``calibration`` the biases of ``ready`` change: they make up for weights in 8 bits.
        """
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
        if calibration is not None:
            calibration = calibration.detach().to("cpu", torch.float32)
            correct_biases(ready_net, calibration.split(CALIBRATION_BATCH), self.format.weight_steps)
        with torch.no_grad():
            names = answer_names(ready_net(self.images[:1]))
        if not isinstance(names, str):
            facts["answers"] = json.dumps(names)
            ready_net = flat(ready_net)
        return Conversion(
            net=self.format.suited(ready_net),
            names=names,
            input_shape=(shape[0], shape[1], shape[2]),
            batch_size=self.batch_size,
            facts=facts | dict(self.metadata),
            backend=self.backend,
            calibration=calibration,
            normalization=self.normalization,
            device=self.device,
        )

    def kept(
        self,
        nets: Iterable[tuple[str | None, StagedNet]],
        write: Callable[[Path], nn.Module | None],
        tolerance: float,
    ) -> list[Exported]:
        """Write the networks, by their depths, prove each, and let the file take its place when none deviates."""
        with atomic_paths(self.format.files(self.path)) as files:
            written = next(file for file in files if file.name == self.path.name)
            self.write(write, written)
            proved = [(depth, self.prove(written, net, depth)) for depth, net in nets]
            for _, proof in proved:
                refuse_deviation(self.path, proof.agreement, tolerance)
            file_bytes = sum(file.stat().st_size for file in files)
        return [self.exported(proof, file_bytes, depth=depth, tolerance=tolerance) for depth, proof in proved]

    def write(self, write: Callable[[Path], nn.Module | None], place: Path) -> nn.Module | None:
        """Let the format write, quietly; `UnskipError` in one sentence for whatever its exporter fails with."""
        try:
            with quiet():
                return write(place)
        except (UnskipError, OSError):
            raise
        except Exception as error:  # exporters fail in ways of their own
            raise UnskipError(
                f"{self.path} was not written: {self.format.name} files cannot hold this network ({first_line(error)})"
            ) from error

    def exported(self, proof: FileCheck, file_bytes: int, **facts: Any) -> Exported:
        """What is known of a file that was kept."""
        return Exported(
            path=self.path,
            format=self.format.name,
            runtime=self.format.runtime.version,
            batch_size=self.batch_size,
            file_bytes=file_bytes,
            scores=proof.scores,
            quantized=proof.integers,
            **vars(proof.agreement),
            **{"precision": "float32"} | facts,
        )

    def prove(
        self, written: Path, net: StagedNet, depth: str | None = None, quantized: nn.Module | None = None
    ) -> FileCheck:
        """Run a file by its own runtime beside the network as it is, and beside its quantised form if there is one."""
        program = self.format.runtime.load(written, depth=depth)
        refuse_other_arithmetic(self.path, program, self.images)
        file = answers_of(program)
        eager = self._normalized(for_cpu(net))
        task = self.task or _usual_task(eager, self.images[:1])
        free = self.batch_size is None
        agreement = compare(eager, file, self.images, task, free_batch=free)
        integers = None
        if quantized is not None:
            flat_answers = quantized  # it gives its tensors without the structure that they have in the network

            def structured(images: Tensor) -> Answers:
                return with_tensors(program.names, tensors_in(flat_answers(images)))

            integers = compare(structured, file, self.images, task, free_batch=free)
        scores = None if self.test is None else compare_scores(eager, file, self.test, task)
        return FileCheck(agreement, scores, integers)

    def _normalized(self, net: nn.Module) -> nn.Module:
        return net if self.normalization is None else normalized(net, *self.normalization)


def _usual_task(net: nn.Module, image: Tensor) -> Task:
    """Classification for a network that gives logits; for any other, to answer as it does."""
    with torch.no_grad():
        logits = answer_names(net(image)) == LOGITS
    return Classification() if logits else Matching().with_teacher(net)


def for_cpu(net: StagedNet) -> StagedNet:
    """A copy for inference in float32; exporters write channels-last weights as another graph."""
    copied = extract(net).to("cpu", torch.float32).eval()
    return copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _backend(format_: Format, backend: str | None) -> str | None:
    if backend is None:
        return format_.backends[0] if format_.backends else None
    if backend not in format_.backends:
        known = ", ".join(f"{name}: {' or '.join(other.backends)}" for name, other in FORMATS.items() if other.backends)
        raise UnskipError(f"{format_.name} has no backend {backend!r}; there are {known}")
    return backend


def _device(path: Path, format_: Format, configuration: Configuration | None) -> Configuration | None:
    """The device that a file is compiled for, None where its format is for any; `UnskipError` for another one."""
    runtime = format_.runtime
    if not isinstance(runtime, Estimator):
        if configuration is not None:
            raise UnskipError(
                f"{path.name} is a file for no device in particular; leave out `target` {configuration.target}"
            )
        return None
    target = next(each for each in runtime.targets if path.name.lower().endswith(runtime.ending(each)))
    if configuration is not None and configuration.target != target:
        raise UnskipError(f"{path.name} is a file for {target}, and `target` is {configuration.target}")
    return configuration or configured(target)
