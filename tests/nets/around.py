"""A network around blocks that are written in a line, for tests that take networks apart."""

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = 8
EXAMPLE = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))
OTHERS = [torch.randn(3, 3, 20, 28, generator=torch.Generator().manual_seed(1)), EXAMPLE]


class Around(nn.Module):
    """A network around blocks of 8 channels: a stage of them, then one convolution at half the resolution."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.conv = conv(3, CHANNELS)
        self.bn = nn.BatchNorm2d(CHANNELS)
        self.blocks = nn.ModuleList(blocks)
        self.pool = nn.MaxPool2d(2)
        self.last = conv(CHANNELS, 12)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        x = F.relu(self.last(self.pool(x)))
        return self.fc(x.mean((2, 3)))


class Block(nn.Module):
    """A block that computes what ``run`` says; layers named a, b, .. are 3x3 convolutions unless given."""

    def __init__(self, run, **layers) -> None:
        super().__init__()
        self.run = run
        for name in "abcd":
            if f".{name}(" in source_of(run) and name not in layers:
                layers[name] = conv(CHANNELS)
        for name in ("bn1", "bn2"):
            if f".{name}(" in source_of(run) and name not in layers:
                layers[name] = nn.BatchNorm2d(CHANNELS)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.run(self, x)


def source_of(run) -> str:
    return "".join(f".{name}(" for name in run.__code__.co_names)


def conv(inputs: int, outputs: int | None = None, kernel: int = 3, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs or inputs, kernel, padding=kernel // 2, bias=False, **options)


def one_by_one() -> nn.Conv2d:
    return conv(CHANNELS, kernel=1)
