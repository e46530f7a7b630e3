"""Biases that make up for what rounding a convolution's weights to 8 bits adds to its outputs on average.

Rounded weights W + E give E x too much. What of that differs from image to image is noise; its mean is known, and a
bias costs nothing: b - E mean(x) (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, section 4.2; here with means of calibration images). It counts most where inputs are far from zero
and a channel has one weight much larger than the rest, as in bodies that were fitted to hand their input on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def correct_biases(net: nn.Module, batches: Iterable[Tensor], steps_of: Callable[[Tensor], Tensor]) -> None:
    """Correct the biases of a network's convolutions, in place, for weights in 8 bits.

    ``batches`` are calibration images as the network takes them, each (batch, channels, height, width). ``steps_of``
    gives the step of each output channel of a weight, as `Format.weight_steps` does. A convolution without a bias gets
    one; those with a forward pass of their own, which may compute with other weights than they hold, are left alone.
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
        error = in_8_bits(conv.weight, steps_of(conv.weight)) - conv.weight
        # The mean of a convolution's outputs is its output for the mean of its inputs.
        correction = -conv._conv_forward(mean[None], error, None).mean((0, 2, 3))
        if conv.bias is None:
            conv.bias = nn.Parameter(correction, requires_grad=conv.weight.requires_grad)
        else:
            conv.bias += correction


def _computes_with_its_weight(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward


def in_8_bits(weight: Tensor, steps: Tensor) -> Tensor:
    """Weights rounded to multiples, -128 to 127, of the steps of their output channels, (channels,)."""
    step = steps.clamp_min(torch.finfo(weight.dtype).tiny).view(-1, *[1] * (weight.dim() - 1))
    return (weight / step).round().clamp(-128, 127) * step
