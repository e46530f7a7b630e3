"""Functions of torch, and the layers that do the same."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS: dict[Any, type[nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, "relu"), nn.ReLU),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), nn.Tanh),
    F.relu6: nn.ReLU6,
    F.leaky_relu: nn.LeakyReLU,
    F.elu: nn.ELU,
    F.silu: nn.SiLU,
    F.mish: nn.Mish,
    F.gelu: nn.GELU,
    F.hardswish: nn.Hardswish,
    F.hardsigmoid: nn.Hardsigmoid,
    F.hardtanh: nn.Hardtanh,
    F.selu: nn.SELU,
    F.celu: nn.CELU,
    F.softplus: nn.Softplus,
}
ELEMENTWISE = tuple(set(ACTIVATIONS.values()))
"""Layers that are the same function of every value; not PReLU, which has slopes of channels."""

LAYERS: dict[Any, type[nn.Module]] = {
    **ACTIVATIONS,
    **dict.fromkeys((torch.flatten, "flatten"), nn.Flatten),
    F.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
PRODUCTS = (F.conv2d, F.linear, torch.matmul, torch.bmm, operator.matmul, "matmul", "bmm")


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function, torch's or of a package's module ``activations``."""
    home = type(module).__module__
    if home == "torch.nn.modules.activation":
        return not isinstance(module, nn.MultiheadAttention | nn.Softmax | nn.LogSoftmax | nn.Softmax2d | nn.GLU)
    return ".activations" in home
