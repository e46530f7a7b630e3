"""Layers and habits that the networks share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def sequence(layers: Mapping[str, nn.Module], training: bool = True) -> nn.Sequential:
    """Layers one behind the other, under their names; they keep their own modes."""
    made = nn.Sequential(OrderedDict(layers))
    made.training = training
    return made


def conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """A convolution that keeps the image's size at stride 1; without a bias, since BatchNorm follows."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=bias)


def conv_settings(conv: nn.Conv2d, **changes: Any) -> dict[str, Any]:
    """What `torch.nn.Conv2d` has to be given for a convolution like another one, on its device, but for ``changes``."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    settings = {name: getattr(conv, name) for name in names}
    return {**settings, "bias": conv.bias is not None, **place_of(conv.weight), **changes}


def place_of(tensor: Tensor) -> dict[str, Any]:
    """Device and dtype for a layer that is to work with a tensor."""
    return {"device": tensor.device, "dtype": tensor.dtype}


def linear_head(channels: int, num_classes: int) -> nn.Sequential:
    """Global average pooling and one linear layer: (batch, channels, height, width) to (batch, num_classes)."""
    return sequence({"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(channels, num_classes)})


def initialise(net: nn.Module) -> None:
    """Convolutions by He et al., "Delving Deep into Rectifiers" (2015), by fan-out, as torchvision does; no biases.

    On the meta device there is nothing to draw, and drawing nothing makes PyTorch import its compiler, a second's work.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def renamed(tensors: Mapping[str, Tensor], places: Mapping[str, str]) -> dict[str, Tensor]:
    """A state dict with its layers under other names, tensor by tensor; layers that ``places`` lacks keep theirs."""
    new = {}
    for name, tensor in tensors.items():
        place, _, leaf = name.rpartition(".")
        new[f"{places.get(place, place)}.{leaf}" if place else leaf] = tensor
    return new
