"""Biases that make up for what rounding a convolution's weights to 8 bits adds to its outputs on average.

Rounded weights W + E give E x too much. What of that differs from image to image is noise; its mean is known, and a
bias costs nothing: b - E mean(x) (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, section 4.2; here with means of calibration images). It counts most where inputs are far from zero
and a channel has one weight much larger than the rest, as in bodies that were fitted to hand their input on.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_LARGEST = 127  # of a weight as an integer; no format here uses -128


@torch.no_grad()
def correct_biases(net: nn.Module, batches: Iterable[Tensor], *, by_channel: bool = True) -> None:
    """Correct the biases of a network's convolutions, in place, for weights in 8 bits.

    ``batches`` are calibration images as the network takes them, each (batch, channels, height, width). ``by_channel``:
    whether each output channel has a scale of its own, as in all formats here. A convolution without a bias gets one;
    those with a forward pass of their own, which may compute with other weights than they hold, are left alone.
    """
    sums: dict[nn.Conv2d, Tensor] = {}  # of what each convolution reads, over all images: (channels, height, width)
    counts: dict[nn.Conv2d, int] = {}

    def add(conv: nn.Conv2d, arguments: tuple[Tensor]) -> None:
        (maps,) = arguments
        if conv in sums and sums[conv].shape != maps.shape[1:]:
            return  # it reads maps of other sizes elsewhere; the first ones count
        sums[conv] = sums.get(conv, 0.0) + maps.sum(0, dtype=torch.float64)
        counts[conv] = counts.get(conv, 0) + len(maps)

    hooks = [module.register_forward_pre_hook(add) for module in net.modules() if _computes_with_its_weight(module)]
    try:
        for images in batches:
            net(images)
    finally:
        for hook in hooks:
            hook.remove()
    for conv, total in sums.items():
        mean = (total / counts[conv]).to(conv.weight.dtype)
        error = in_8_bits(conv.weight, by_channel=by_channel) - conv.weight
        # The mean of a convolution's outputs is its output for the mean of its inputs.
        correction = -conv._conv_forward(mean[None], error, None).mean((0, 2, 3))
        if conv.bias is None:
            conv.bias = nn.Parameter(correction, requires_grad=conv.weight.requires_grad)
        else:
            conv.bias += correction


def _computes_with_its_weight(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward


def in_8_bits(weight: Tensor, *, by_channel: bool = True) -> Tensor:
    """Weights rounded to 255 steps between minus and plus the largest of their output channel, or of all."""
    largest = weight.abs().amax(tuple(range(1, weight.dim())), keepdim=True) if by_channel else weight.abs().max()
    step = (largest / _LARGEST).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight / step).round() * step
