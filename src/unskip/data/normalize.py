"""From bytes to what a network sees."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unskip.data.decode import Pixels
from unskip.preprocessing import scale_and_shift


@dataclass(frozen=True)
class Normalization:
    """``(pixel / 255 - mean) / std``, by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor, *, channels_last: bool = False) -> Tensor:
        """uint8 (batch, channels, height, width) to float32 of the same shape."""
        scale, shift = _scale_and_shift(self, pixels.device)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        images = pixels.contiguous(memory_format=memory_format).float()
        # Two roundings, never a fused one: an image's values must not depend on its place in the batch.
        return images.mul_(scale).add_(shift)


@functools.lru_cache(maxsize=16)  # one copy to the device, not one for every batch
def _scale_and_shift(normalization: Normalization, device: torch.device) -> tuple[Tensor, Tensor]:
    """float32 (channels, 1, 1) each, so that the normalised value is ``pixel * scale + shift``."""
    scale, shift = scale_and_shift(normalization.mean, normalization.std)
    return (torch.from_numpy(scale)[:, None, None].to(device), torch.from_numpy(shift)[:, None, None].to(device))


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What torchvision's pretrained networks were trained with."""

_CIFAR10 = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def named_normalization(name: str, channels: int) -> Normalization:
    """``imagenet`` or ``cifar10``, for three channels; ``none``: pixels from 0 to 1; ``pixels``: from 0 to 255."""
    normalizations = {
        "imagenet": IMAGENET,
        "cifar10": _CIFAR10,
        "none": Normalization((0.0,) * channels, (1.0,) * channels),
        "pixels": Normalization((0.0,) * channels, (1 / 255,) * channels),
    }
    return normalizations[name]


def measured(pixels: Pixels) -> Normalization:
    """The exact mean and standard deviation of every channel of uint8 (images, channels, height, width)."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(pixels.shape[1]):
        shares = np.bincount(pixels[:, channel].ravel(), minlength=256) / pixels[:, channel].size
        mean = float(shares @ levels)
        means.append(mean)
        stds.append(float(np.sqrt(shares @ (levels - mean) ** 2)) or 1.0)  # a constant channel stays as it is
    return Normalization(tuple(means), tuple(stds))
