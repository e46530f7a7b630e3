"""Fold BatchNorm into the convolution in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from unskip.nets.staged import StagedNet
from unskip.surgery.depth import extract
from unskip.surgery.dirac import fold_dirac

__all__ = ["fold_batchnorm"]


def fold_batchnorm(net: StagedNet) -> StagedNet:
    """A copy for inference in which every BatchNorm that follows a convolution is part of it.

    The outputs are those of the network in eval mode, up to rounding; Dirac convolutions become ordinary ones on the
    way. In a pre-activation net without shortcuts a BatchNorm may follow the convolution of the block, or of the stage,
    before; the maps between are other ones then. A BatchNorm with no convolution directly in front of it stays, and so
    does one behind a convolution that makes its weights anew each time (weight standardisation, spectral norm). The
    copy is in eval mode.
    """
    folded = extract(fold_dirac(net)).eval()
    chains = [_chain(folded)]
    for module in folded.modules():
        if not isinstance(module, nn.Sequential):
            chains += [_chain(child) for child in module.children() if isinstance(child, nn.Sequential)]
    used = [id(module) for _, module in folded.named_modules(remove_duplicate=False)]
    for chain in chains:
        _fold(list(chain), used)
    folded.spec = net.spec.edited("fold_batchnorm") if net.spec else None
    return folded


def _chain(module: nn.Sequential) -> Iterator[tuple[nn.Sequential, str]]:
    """The places, container and name, of what a sequence runs, the sequences in it opened."""
    for name, child in module._modules.items():
        if isinstance(child, nn.Sequential):
            yield from _chain(child)
        else:
            yield module, name


def _fold(chain: list[tuple[nn.Sequential, str]], used: list[int]) -> None:
    for (container, name), (next_container, next_name) in pairwise(chain):
        first, second = container._modules.get(name), next_container._modules[next_name]
        if (
            isinstance(first, nn.Conv2d)
            and isinstance(second, nn.BatchNorm2d)
            and second.track_running_stats
            and not is_parametrized(first)
            and used.count(id(first)) == used.count(id(second)) == 1
        ):
            fused = fuse_conv_bn_eval(first, second)
            if type(first) is not nn.Conv2d and not _computes_the_same(first, second, fused):
                continue
            assert fused.bias is not None
            fused.bias.requires_grad_(fused.weight.requires_grad)  # torch freezes the bias that it adds
            setattr(container, name, fused)
            delattr(next_container, next_name)


def _computes_the_same(conv: nn.Conv2d, norm: nn.BatchNorm2d, fused: nn.Conv2d) -> bool:
    """Whether a convolution of another package's class still computes with the weights that it has been given."""
    if conv.weight.is_meta:
        return True
    height, width = ((size - 1) * gap + 3 for size, gap in zip(conv.kernel_size, conv.dilation, strict=True))
    images = torch.linspace(
        -2, 2, conv.in_channels * height * width, device=conv.weight.device, dtype=conv.weight.dtype
    )
    images = images.sin().reshape(1, conv.in_channels, height, width)
    with torch.no_grad():
        expected, found = norm(conv(images)), fused(images)
    return bool((found - expected).abs().max() <= 1e-3 * expected.abs().max())
