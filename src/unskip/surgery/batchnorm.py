"""Fold BatchNorm into the convolution in front of it."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unskip.nets.staged import StagedNet
from unskip.surgery.chains import chain
from unskip.surgery.depth import extract
from unskip.surgery.dirac import fold_dirac

__all__ = ["fold_batchnorm", "fused"]


def fold_batchnorm(net: StagedNet) -> StagedNet:
    """A copy for inference in which every BatchNorm that follows a convolution is part of it.

    The outputs are those of the network in eval mode, up to rounding; Dirac convolutions become ordinary ones on the
    way. In a pre-activation net without shortcuts a BatchNorm may follow the convolution of the block, or of the stage,
    before; the maps between are other ones then. A BatchNorm with no convolution directly in front of it stays. The
    copy is in eval mode.
    """
    folded = extract(fold_dirac(net)).eval()
    chains = [chain(folded)]
    for module in folded.modules():
        if not isinstance(module, nn.Sequential):
            chains += [chain(child) for child in module.children() if isinstance(child, nn.Sequential)]
    used = [id(module) for _, module in folded.named_modules(remove_duplicate=False)]
    for places in chains:
        _fold(list(places), used)
    folded.spec = net.spec.edited("fold_batchnorm") if net.spec else None
    return folded


def _fold(places: list[tuple[nn.Sequential, str]], used: list[int]) -> None:
    for (container, name), (next_container, next_name) in pairwise(places):
        first, second = container._modules.get(name), next_container._modules[next_name]
        if (
            isinstance(first, nn.Conv2d)
            and isinstance(second, nn.BatchNorm2d)
            and second.track_running_stats
            and used.count(id(first)) == used.count(id(second)) == 1
        ):
            setattr(container, name, fused(first, second))
            delattr(next_container, next_name)


def fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that computes what the two do in eval mode, one after the other."""
    made = fuse_conv_bn_eval(conv, norm)
    assert made.bias is not None
    made.bias.requires_grad_(made.weight.requires_grad)  # torch freezes the bias that it adds
    return made
