"""The CIFAR-10 ResNets of Yerlan Idelbayev (akamaster/pytorch_resnet_cifar10), whose trained weights he publishes.

Option A of He et al.: where the number of channels doubles, the shortcut takes every other pixel and pads channels with
zeros, so no shortcut has parameters or multiply-accumulates.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Padding(nn.Module):
    """Every other pixel, and zeros for the channels that are new, half of them on each side."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels + more, height / 2, width / 2)."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))


class Block(nn.Module):
    """conv-bn-relu-conv-bn, the shortcut, relu."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential() if stride == 1 else Padding(channels - in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) to (batch, channels, ..)."""
        body = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(body + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of basic blocks, 16, 32 and 64 channels wide."""

    def __init__(self, blocks: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1, blocks)
        self.layer2 = self._stage(16, 32, 2, blocks)
        self.layer3 = self._stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, num_classes)

    def _stage(self, in_channels: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
        later = [Block(channels, channels, 1) for _ in range(blocks - 1)]
        return nn.Sequential(Block(in_channels, channels, stride), *later)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, 32, 32) to logits (batch, classes)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnet20(num_classes: int = 10) -> ResNet:
    """Three blocks a stage."""
    return ResNet(3, num_classes)


def resnet32(num_classes: int = 10) -> ResNet:
    """Five blocks a stage."""
    return ResNet(5, num_classes)


def resnet44(num_classes: int = 10) -> ResNet:
    """Seven blocks a stage."""
    return ResNet(7, num_classes)


def resnet56(num_classes: int = 10) -> ResNet:
    """Nine blocks a stage."""
    return ResNet(9, num_classes)
