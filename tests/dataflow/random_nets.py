"""Small random networks in the project's vocabulary."""

from collections import OrderedDict

from hypothesis import strategies as st
from torch import nn

from unskip.nets import Residual, StagedNet


class Gate(nn.Module):
    """Squeeze and excitation: a multiplication with broadcasting."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * self.conv(self.pool(x))


def _layer(draw, channels):
    """A layer that keeps the shape."""
    kind = draw(st.sampled_from(["conv", "conv-bn", "bn", "relu", "silu", "identity", "dropout", "pool", "gate"]))
    return {
        "conv": lambda: [nn.Conv2d(channels, channels, 3, padding=1)],
        "conv-bn": lambda: [nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)],
        "bn": lambda: [nn.BatchNorm2d(channels)],
        "relu": lambda: [nn.ReLU(inplace=True)],
        "silu": lambda: [nn.SiLU()],
        "identity": lambda: [nn.Identity()],
        "dropout": lambda: [nn.Dropout()],
        "gate": lambda: [Gate(channels)],
        "pool": lambda: [nn.MaxPool2d(3, 1, 1)],
    }[kind]()


def _conv(draw, inputs, outputs, stride):
    kernel = draw(st.sampled_from([1, 3]))
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)


def _block(draw, inputs):
    """A block with a shortcut, or without one, and the channels that it gives."""
    outputs = draw(st.sampled_from([inputs, inputs, 2, 4, 6]))
    stride = draw(st.sampled_from([1, 1, 2]))
    width = draw(st.sampled_from([2, 4, 8]))
    body = nn.Sequential(
        *_layer(draw, inputs),
        _conv(draw, inputs, width, stride),
        *_layer(draw, width),
        _conv(draw, width, outputs, 1),
        *_layer(draw, outputs),
    )
    if draw(st.booleans()):
        return body, outputs
    keeps = inputs == outputs and stride == 1
    shortcut = None if keeps else nn.Sequential(_conv(draw, inputs, outputs, stride), nn.BatchNorm2d(outputs))
    activation = draw(st.sampled_from([None, nn.ReLU(inplace=True), nn.ReLU6()]))
    return Residual(body, shortcut, activation), outputs


@st.composite
def nets(draw) -> StagedNet:
    """Networks for images of 3 x 8 x 8 and 5 classes."""
    channels = draw(st.sampled_from([2, 4]))
    parts = OrderedDict(stem=nn.Sequential(_conv(draw, 3, channels, 1), *_layer(draw, channels)))
    for stage in range(draw(st.integers(1, 2))):
        blocks = OrderedDict()
        for index in range(draw(st.integers(1, 3))):
            blocks[f"block{index + 1}"], channels = _block(draw, channels)
        parts[f"stage{stage + 1}"] = nn.Sequential(blocks)
    parts["head"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))
    return StagedNet(parts)
