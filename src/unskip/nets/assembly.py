"""What the networks here are put together from: units of convolution, BatchNorm and ReLU, and stages of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import nn

from unskip.nets.layers import conv, initialise, sequence
from unskip.nets.staged_net import StagedNet

Block = Callable[[int, int, int], nn.Module]
"""A block of input channels, width and stride."""


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool = False,
    relu: type[nn.ReLU | nn.ReLU6] | None = nn.ReLU,
    number: int | str = "",
) -> dict[str, nn.Module]:
    """``conv``, ``bn`` and, unless that is None, ``relu``; with a number behind each name where there are several."""
    layers: dict[str, nn.Module] = {
        f"conv{number}": conv(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias),
        f"bn{number}": nn.BatchNorm2d(out_channels),
    }
    return layers if relu is None else {**layers, f"relu{number}": relu(inplace=True)}


def stages(
    channels: int, plan: Iterable[tuple[Block, int, int, int]], pools: Mapping[int, nn.Module] | None = None
) -> tuple[dict[str, nn.Module], int]:
    """The stages behind a map of so many channels, and the channels that the last one gives.

    ``plan`` has for each stage its block, their number, their width, and the stride of the first; ``pools`` open
    stages.
    """
    parts: dict[str, nn.Module] = {}
    for stage, (block, count, width, stride) in enumerate(plan, 1):
        layers = {"pool": pools[stage]} if pools and stage in pools else {}
        for index in range(1, count + 1):
            made = block(channels, width, stride if index == 1 else 1)
            channels = [layer.out_channels for layer in made.modules() if isinstance(layer, nn.Conv2d)][-1]
            layers[f"block{index}"] = made
        parts[f"stage{stage}"] = sequence(layers)
    return parts, channels


def assembled(parts: Mapping[str, nn.Module]) -> StagedNet:
    """A network of these parts, its convolutions initialised."""
    net = StagedNet(parts)
    initialise(net)
    return net
