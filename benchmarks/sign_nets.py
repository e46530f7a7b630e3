"""Small networks that differ in one thing, to see what makes residual or plain networks cheaper on a device.

    cd benchmarks
    unskip bench sign_nets:held sign_nets:held+layout=blocks --target ethos-u65-256 --image-size 112 --no-accuracy

docs/explanation/what-makes-the-sign.md says what came out.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class Block(nn.Module):
    """A body and a shortcut."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut, self.relu = body, shortcut or nn.Identity(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The activation of the sum."""
        return self.relu(self.body(x) + self.shortcut(x))


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)


def _relu(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(_conv(inputs, outputs, size, stride), nn.ReLU())


def _body(inputs: int, outputs: int, number: int = 2, stride: int = 1) -> nn.Module:
    between = [_relu(outputs, outputs) for _ in range(number - 2)]
    return nn.Sequential(_relu(inputs, outputs, 3, stride), *between, _conv(outputs, outputs))


def _head(channels: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)


def held(layout: str = "chain", convolutions: int = 4) -> nn.Module:
    """Convolutions of 64 channels at one resolution: a ``chain``, ``blocks`` of two, or ``long``: one block of all."""
    bodies: dict[str, Callable[[], list[nn.Module]]] = {
        "chain": lambda: [_relu(64, 64) for _ in range(convolutions)],
        "blocks": lambda: [Block(_body(64, 64)) for _ in range(convolutions // 2)],
        "long": lambda: [Block(_body(64, 64, convolutions))],
    }
    return nn.Sequential(_relu(3, 64, 3, 2), *bodies[layout](), _conv(64, 64, 3, 2))


def down(projection: str = "none") -> nn.Module:
    """A block that halves the resolution: its projection is ``strided``, ``pooled`` first, or there is ``none``."""
    body = _body(64, 128, stride=2)
    shortcuts: dict[str, Callable[[], nn.Module]] = {
        "none": lambda: nn.Sequential(body, nn.ReLU()),
        "strided": lambda: Block(body, _conv(64, 128, 1, 2)),
        "pooled": lambda: Block(body, nn.Sequential(nn.AvgPool2d(2), _conv(64, 128, 1))),
    }
    return nn.Sequential(_relu(3, 64, 3, 2), _relu(64, 64), shortcuts[projection](), _relu(128, 128), *_head(128))


def stem(convolutions: int = 2) -> nn.Module:
    """A ResNet's stem and convolutions behind it, in which its cascade can go on."""
    return nn.Sequential(_relu(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), *(_relu(64, 64) for _ in range(convolutions)))


def resnet18(stem: str = "own") -> nn.Module:
    """A ResNet-18 with its ``own`` stem, or with ``two`` convolutions of 3x3 with stride 2 in the place of it."""
    layers = [_relu(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)] if stem == "own" else [_relu(3, 32, 3, 2), _relu(32, 64, 3, 2)]
    inputs = 64
    for outputs in (64, 128, 256, 512):
        stride = 1 if outputs == inputs else 2
        shortcut = None if stride == 1 else _conv(inputs, outputs, 1, 2)
        layers += [Block(_body(inputs, outputs, stride=stride), shortcut), Block(_body(outputs, outputs))]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
