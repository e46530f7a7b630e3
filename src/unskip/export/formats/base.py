"""What a format is: something that turns a network into a file which one of the runtimes runs."""

from __future__ import annotations

import math
import tempfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from unskip.answers import LOGITS, tensors_in
from unskip.nets import StagedNet
from unskip.records import Estimate
from unskip.runtimes import Configuration, Estimator, Runtime, find_runtime

CALIBRATION_BATCH = 32
LARGEST_WEIGHT = 127  # as an integer of 8 bits


@dataclass(frozen=True)
class Conversion:
    """What is to be written.

    ``net`` is in eval mode on the CPU, in float32, its BatchNorms folded, its normalisation in front. It gives one
    tensor, or a tuple of as many as there are in ``names``, the structure of the network's answers with a name in the
    place of each. ``batch_size`` None means a free one. ``facts`` are the metadata. With ``calibration``, images
    (N, C, H, W) as ``net`` takes them, the file is to compute with 8-bit integers. ``trained`` is the network after
    quantisation-aware training, its 8-bit steps written out, for any batch; it is then what is written. ``backend`` is
    one of the format's.
    """

    net: nn.Module
    input_shape: tuple[int, int, int]
    batch_size: int | None
    facts: Mapping[str, str]
    backend: str | None = None
    calibration: Tensor | None = None
    trained: GraphModule | None = None
    names: Any = LOGITS
    normalization: tuple[Sequence[float], Sequence[float]] | None = None
    device: Configuration | None = None

    def captured(self, *, free_batch: bool | None = None, channels_last: bool = False) -> torch.export.ExportedProgram:
        """The network as torch.export has it, for images whose memory is laid out channels first, or last."""
        free = self.batch_size is None if free_batch is None else free_batch
        # With an example of one image, torch.export would take a free batch size for a constant.
        example = torch.zeros(2 if free else self.batch_size or 1, *self.input_shape)
        example = example.contiguous(memory_format=memory_format(channels_last))
        shapes = ({0: torch.export.Dim("batch")},) if free else None
        program = torch.export.export(self.net, (example,), dynamic_shapes=shapes)
        _shorten_strides_of_one_window(program.graph)
        _infer_batches(program.graph)
        return program


def _infer_batches(graph: torch.fx.Graph) -> None:
    """Let views infer the batch where they are given its size, which some quantisers do not take for a number."""
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.view.default):
        batch, *others = node.meta["val"].shape
        if not isinstance(batch, int) and all(isinstance(size, int) for size in others):
            node.args = (node.args[0], [-1, *others])


def _shorten_strides_of_one_window(graph: torch.fx.Graph) -> None:
    """Give average pools over whole maps a stride of 1: it is never made, and devices know none that long."""
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.avg_pool2d.default):
        images, kernel, *more = node.args
        if list(images.meta["val"].shape[2:]) == list(kernel) and not any(more[1:2] and more[1]):
            node.args = (images, kernel, [1, 1], *more[1:])


class Format(ABC):
    """A format by its file's name; ``order`` is its place among the others.

    It is written for the runtime of the name ``runtime``, whose ending its files have and whose package writes it.
    ``free_batch`` says whether its files can take any number of images at once, ``float32`` and ``int8`` in what they
    can compute, ``qat`` whether 8 bits can be trained for, by the format's :meth:`quantizer`, ``switchable`` whether
    one file can hold networks of several depths that share weights, ``backends`` what it can be written for, the
    default first, ``depths_backend`` the one that lets depths share their weights.
    """

    order: ClassVar[float] = math.inf
    runtime_name: ClassVar[str]
    free_batch: ClassVar[bool] = True
    float32: ClassVar[bool] = True
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
    def endings(self) -> tuple[str, ...]:
        """Those that its files can have, with the dot: one, or one for every device."""
        endings = self.runtime.endings
        return endings if isinstance(self.runtime, Estimator) else endings[:1]

    @property
    def ending(self) -> str:
        """The first of them."""
        return self.endings[0]

    def files(self, path: Path) -> Sequence[Path]:
        """All files that one network becomes; ``path`` is among them."""
        return [path]

    def deployed(self, path: Path) -> Sequence[Path]:
        """Those of :meth:`files` that go where the network runs."""
        return self.files(path)

    def suited(self, net: nn.Module) -> nn.Module:
        """The same function, as the format's target computes it best; what a :class:`Conversion` for it holds."""
        return net

    @abstractmethod
    def write(self, conversion: Conversion, path: Path) -> nn.Module | None:
        """Write the network and its metadata to ``path``; what else is in its folder afterwards is thrown away.

        What is given back is the quantised network, which the file has to compute; None where that is not known apart
        from the file, or is the network itself.
        """

    def estimate(self, conversion: Conversion) -> Estimate:
        """What the compiler of the device says of the network, in no file; only if the runtime is an `Estimator`."""
        runtime = self.runtime
        assert isinstance(runtime, Estimator)
        assert conversion.device is not None
        with tempfile.TemporaryDirectory(prefix="unskip-") as folder:
            path = Path(folder, f"net{runtime.ending(conversion.device.target)}")
            self.write(conversion, path)
            return runtime.estimate(path)

    def quantizer(self, conversion: Conversion, *, qat: bool) -> Any:
        """What says where the target computes in 8 bits: a ``Quantizer`` of torchao's PT2E; only if :attr:`qat`.

        ``qat``: one for quantisation-aware training, else one for calibration.
        """
        raise NotImplementedError(f"{self.name} files are not quantised by PT2E")

    def weight_steps(self, weight: Tensor) -> Tensor:
        """The step of 8 bits for each output channel of a weight (channels, ...), as (channels,); only if ``int8``.

        Integers reach from -128 to 127. By default the largest weight of a channel is -127 or 127.
        """
        return weight.abs().flatten(1).amax(1) / LARGEST_WEIGHT

    def requantized_additions(self, path: Path, quantized: nn.Module | None) -> int:
        """How many additions of maps, of a scale each, bring the sum to a third one, in 8 bits; only if ``int8``.

        Counted in the quantised network that :meth:`write` gave back for ``path``.
        """
        assert isinstance(quantized, GraphModule)
        return sum(
            node.target is torch.ops.aten.add.Tensor
            and len(node.all_input_nodes) == 2
            and all("dequantize" in str(operand.target) for operand in node.all_input_nodes)
            for node in quantized.graph.nodes
        )

    def write_depths(self, depths: Mapping[str, Conversion], path: Path) -> None:
        """Write several networks by their names, the full one first, equal weights once; only if ``switchable``."""
        raise NotImplementedError(f"{self.name} files hold one network")


def memory_format(channels_last: bool) -> torch.memory_format:
    """How the memory of a batch of maps (N, C, H, W) is laid out."""
    return torch.channels_last if channels_last else torch.contiguous_format


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
