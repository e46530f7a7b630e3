"""Sub-nets as networks of their own, and statistics that fit them (EKD-DDNN, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets.depth import BatchNormAtDepth, DepthBatchNorm2d
from unskip.nets.plain_modules import staged
from unskip.nets.staged_net import StagedNet


def extract(net: nn.Module) -> StagedNet:
    """A copy of a sub-net as a network of its own: it shares nothing, and its BatchNorms are ordinary ones.

    ``extract(net.at_depth(2, 2, 2))`` computes what the sub-net computes.
    """
    own = copy.deepcopy(staged(net))
    at_one_depth(own)
    return own


def at_one_depth(net: nn.Module) -> None:
    """Make, in place, the BatchNorms of a depth ordinary ones."""
    for place, norm in list(net.named_modules()):
        if isinstance(norm, BatchNormAtDepth):
            net.set_submodule(place, norm.alone())


def with_recalibrated_statistics(net: nn.Module, batches: Iterable[Tensor]) -> StagedNet:
    """A copy whose BatchNorm statistics are means over ``batches``, each (batch, channels, height, width).

    For a sub-net that was trained with the statistics of other depths mixed in. Weights stay; dropout and the like stay
    off; the copy is in eval mode, where the network is, and shares nothing. It computes where the batches are. Raises
    `UnskipError` without any batch.
    """
    own = extract(net).eval()
    of_depths = {
        id(statistics)
        for module in own.modules()
        if isinstance(module, DepthBatchNorm2d)
        for statistics in module.depths.values()
    }
    norms = [
        module
        for module in own.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and id(module) not in of_depths
    ]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a mean over all batches
        norm.train()
    count = 0
    with torch.no_grad():
        for images in batches:
            own.to(images.device)(images)
            count += 1
    if not count:
        raise UnskipError("no images to recalibrate BatchNorm with")
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return own.to(next(net.parameters()).device).eval()
