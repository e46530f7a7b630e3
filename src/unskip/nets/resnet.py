"""Residual networks of He et al., "Deep Residual Learning for Image Recognition" (2016), in the project's vocabulary.

Two families: the CIFAR nets with 6n+2 layers (section 4.2) and the ImageNet nets (table 1), the latter also in the
form that is usual on small images (3x3 stem with stride 1, no pooling). Bottlenecks carry their stride on the 3x3
convolution, as torchvision's do. Projections are a 1x1 convolution and BatchNorm wherever the shape changes (option B).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from unskip.nets.staged import Residual, StagedNet

__all__ = ["basic_block", "bottleneck_block", "cifar_resnet", "conv", "from_torchvision", "resnet"]

Block = Callable[[int, int, int], Residual]


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the image's size at stride 1, without a bias (BatchNorm follows)."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(OrderedDict(conv=conv(in_channels, out_channels, 1, stride), bn=nn.BatchNorm2d(out_channels)))


def basic_block(in_channels: int, width: int, stride: int) -> Residual:
    """Two 3x3 convolutions (figure 5, left)."""
    body = OrderedDict(
        conv1=conv(in_channels, width, 3, stride),
        bn1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(inplace=True),
        conv2=conv(width, width, 3),
        bn2=nn.BatchNorm2d(width),
    )
    return Residual(nn.Sequential(body), _projection(in_channels, width, stride), nn.ReLU(inplace=True))


def bottleneck_block(in_channels: int, width: int, stride: int) -> Residual:
    """1x1, 3x3 and 1x1 convolutions, the last four times as wide (figure 5, right); the stride is on the 3x3."""
    body = OrderedDict(
        conv1=conv(in_channels, width, 1),
        bn1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(inplace=True),
        conv2=conv(width, width, 3, stride),
        bn2=nn.BatchNorm2d(width),
        relu2=nn.ReLU(inplace=True),
        conv3=conv(width, 4 * width, 1),
        bn3=nn.BatchNorm2d(4 * width),
    )
    return Residual(nn.Sequential(body), _projection(in_channels, 4 * width, stride), nn.ReLU(inplace=True))


def cifar_resnet(depth: int, *, width: int = 16, num_classes: int = 10, in_channels: int = 3) -> StagedNet:
    """The CIFAR net with ``depth`` = 6n+2 layers: three stages of n basic blocks, ``width``, 2x and 4x as wide."""
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"a CIFAR ResNet has 6n+2 layers (14, 20, 26, 32, ..), not {depth}")
    stem = _stem(in_channels, width, kernel_size=3, stride=1)
    return _assemble(stem, basic_block, [(depth - 2) // 6] * 3, width, num_classes, pool=False)


def resnet(
    block: Block,
    blocks: Sequence[int],
    *,
    small_images: bool = False,
    width: int = 64,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> StagedNet:
    """The ImageNet net with ``blocks`` blocks in its four stages.

    The max-pool opens stage 1, as in the paper's table 1. ``small_images``: a 3x3 stem with stride 1 and no pooling.
    """
    stem = _stem(in_channels, width, kernel_size=3 if small_images else 7, stride=1 if small_images else 2)
    return _assemble(stem, block, blocks, width, num_classes, pool=not small_images)


def _stem(in_channels: int, width: int, *, kernel_size: int, stride: int) -> nn.Sequential:
    layers = OrderedDict(
        conv=conv(in_channels, width, kernel_size, stride),
        bn=nn.BatchNorm2d(width),
        relu=nn.ReLU(inplace=True),
    )
    return nn.Sequential(layers)


def _assemble(
    stem: nn.Module, block: Block, blocks: Sequence[int], width: int, num_classes: int, *, pool: bool
) -> StagedNet:
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
    channels = width
    for stage, count in enumerate(blocks):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if pool and stage == 0:
            layers["pool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for index in range(count):
            residual = block(channels, width << stage, 2 if stage > 0 and index == 0 else 1)
            layers[f"block{index + 1}"] = residual
            channels = _out_channels(residual)
        parts[f"stage{stage + 1}"] = nn.Sequential(layers)
    parts["head"] = nn.Sequential(
        OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(channels, num_classes))
    )
    net = StagedNet(parts)
    _initialise(net)
    return net


def _out_channels(block: Residual) -> int:
    return [module.out_channels for module in block.body.modules() if isinstance(module, nn.Conv2d)][-1]


def _initialise(net: nn.Module) -> None:
    """He et al., "Delving Deep into Rectifiers" (2015), by fan-out, as torchvision does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision ResNet's state dict under this module's names; unknown names stay as they are."""
    rules: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
        (r"^(conv|bn)1\.", r"stem.\1."),
        (r"^fc\.", "head.fc."),
        (
            r"^layer(\d+)\.(\d+)\.downsample\.0\.",
            lambda m: f"stage{m[1]}.block{int(m[2]) + 1}.shortcut.conv.",
        ),
        (r"^layer(\d+)\.(\d+)\.downsample\.1\.", lambda m: f"stage{m[1]}.block{int(m[2]) + 1}.shortcut.bn."),
        (r"^layer(\d+)\.(\d+)\.", lambda m: f"stage{m[1]}.block{int(m[2]) + 1}.body."),
    ]
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            new, count = re.subn(pattern, replacement, name)
            if count:
                name = new
                break
        renamed[name] = tensor
    return renamed
