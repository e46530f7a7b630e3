"""What a format is: something that turns a network into a file which one of the runtimes runs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unskip.answers import LOGITS, tensors_in
from unskip.nets import StagedNet
from unskip.runtimes import Runtime, find_runtime


@dataclass(frozen=True)
class EightBits:
    """A network that computes with 8-bit integers, as its format has it: ``model`` is what `Format.write` understands.

    ``requantized_additions`` counts, in that graph, the additions of maps that have a scale each, and the sum a third.
    """

    model: Any
    requantized_additions: int


@dataclass(frozen=True)
class Conversion:
    """What is to be written.

    ``net`` is in eval mode on the CPU, in float32, its BatchNorms folded, its normalisation in front. It gives one
    tensor, or a tuple of as many as there are in ``names``, the structure of the network's answers with a name in the
    place of each. ``batch_size`` None means a free one. ``facts`` are the metadata. ``backend`` is one of the format's.
    Where ``eight_bits`` is there, it is written in the place of ``net``.
    """

    net: nn.Module
    input_shape: tuple[int, int, int]
    batch_size: int | None
    facts: Mapping[str, str]
    backend: str | None = None
    eight_bits: EightBits | None = None
    names: Any = LOGITS

    def captured(self, *, free_batch: bool | None = None) -> torch.export.ExportedProgram:
        """The network as torch.export has it."""
        free = self.batch_size is None if free_batch is None else free_batch
        # With an example of one image, torch.export would take a free batch size for a constant.
        example = torch.zeros(2 if free else self.batch_size or 1, *self.input_shape)
        shapes = ({0: torch.export.Dim("batch")},) if free else None
        return torch.export.export(self.net, (example,), dynamic_shapes=shapes)


class Format(ABC):
    """A format by its file's name; ``order`` is its place among the others.

    It is written for the runtime of the name ``runtime``, whose ending its files have and whose package writes it.
    ``free_batch`` says whether its files can take any number of images at once, ``int8`` whether it can be quantised
    after training, ``qat`` whether also by training, for which it has a :meth:`quantizer`, ``switchable`` whether one
    file can hold networks of several depths that share weights, ``backends`` what it can be written for, the default
    first, ``depths_backend`` the one that lets depths share their weights.
    """

    order: ClassVar[float] = math.inf
    runtime_name: ClassVar[str]
    free_batch: ClassVar[bool] = True
    int8: ClassVar[bool] = False
    qat: ClassVar[bool] = False
    switchable: ClassVar[bool] = False
    backends: ClassVar[tuple[str, ...]] = ()
    depths_backend: ClassVar[str | None] = None

    @property
    def name(self) -> str:
        """The file's name."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def runtime(self) -> Runtime:
        """What runs its files."""
        return find_runtime(self.runtime_name)

    @property
    def ending(self) -> str:
        """The ending of its files, with the dot."""
        return self.runtime.endings[0]

    def files(self, path: Path) -> Sequence[Path]:
        """All files that one network becomes; ``path`` is among them."""
        return [path]

    @abstractmethod
    def write(self, conversion: Conversion, path: Path) -> None:
        """Write the network and its metadata to ``path``; what else is in its folder afterwards is thrown away."""

    def quantized(self, conversion: Conversion, calibration: Tensor) -> EightBits:
        """The network in 8 bits, its ranges those of ``calibration``, images (N, C, H, W); only if ``int8``."""
        raise NotImplementedError(f"{self.name} files are written in float32")

    def quantizer(self, conversion: Conversion, *, qat: bool) -> Any:
        """What says where the target computes in 8 bits, a ``Quantizer`` of torchao's PT2E flow; only if ``qat``.

        ``qat``: for quantisation-aware training, else for calibration.
        """
        raise NotImplementedError(f"{self.name} files are not quantised by PT2E")

    def trained(self, program: torch.export.ExportedProgram, conversion: Conversion) -> EightBits:
        """What quantisation-aware training left, as this format writes it; only if ``qat``."""
        raise NotImplementedError(f"{self.name} files are not quantised by PT2E")

    def write_depths(self, depths: Mapping[str, Conversion], path: Path) -> None:
        """Write several networks by their names, the full one first, equal weights once; only if ``switchable``."""
        raise NotImplementedError(f"{self.name} files hold one network")


def flat(net: nn.Module) -> nn.Module:
    """A network that gives the tensors of its answers as a tuple."""
    return _Flat(net).eval()


class _Flat(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_in(self.net(images)))


def normalized(net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """A network that takes images scaled to 0..1 and normalises them by channel before it does anything else."""
    return nn.Sequential(OrderedDict(normalize=_Normalize(mean, std), net=net)).eval()


def with_normalization(net: StagedNet, mean: Sequence[float], std: Sequence[float]) -> StagedNet:
    """:func:`normalized` as a network of the same parts; the layers are shared."""
    parts = dict(net.named_parts())
    first = net.part_names[0]
    return StagedNet(parts | {first: normalized(parts[first], mean, std)})


class _Normalize(nn.Module):
    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        as_channels = torch.tensor([mean, std], dtype=torch.float64)[:, :, None, None]
        self.register_buffer("mean", as_channels[0].float())
        self.register_buffer("scale", (1 / as_channels[1]).float())

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) * self.scale
