"""Sub-nets of a network: the first blocks of every stage (EKD-DDNN, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets.depth import BatchNormAtDepth, DepthBatchNorm2d
from unskip.nets.staged import NetSpec, StagedNet

__all__ = [
    "at_depth",
    "extract",
    "with_depth_statistics",
    "with_recalibrated_statistics",
    "without_depth_statistics",
]


def extract(net: StagedNet) -> StagedNet:
    """A copy of a sub-net as a network of its own: it shares nothing, and its BatchNorms are ordinary ones.

    ``extract(net.at_depth(2, 2, 2))`` computes what the sub-net computes.
    """
    own = copy.deepcopy(net)
    for name, module in list(own.named_modules()):
        if isinstance(module, BatchNormAtDepth):
            parent, _, child = name.rpartition(".")
            setattr(own.get_submodule(parent), child, module.alone())
    return own


def at_depth(net: StagedNet, *, blocks: Sequence[NonNegativeInt]) -> StagedNet:
    """The sub-net of the first ``blocks[s]`` blocks of each stage as a network of its own; see `StagedNet.at_depth`."""
    return extract(net.at_depth(*blocks))


def with_depth_statistics(net: StagedNet, *, depths: Sequence[Sequence[NonNegativeInt]]) -> StagedNet:
    """A copy whose BatchNorms keep statistics of their own for each of ``depths``, besides those of the whole network.

    Weights and biases stay shared. ``net.at_depth(*blocks)`` then uses, and in train mode updates, the statistics of
    its depth; until it is trained or recalibrated they are those of a fresh BatchNorm.

    Raises `UnskipError` for a depth that the network does not have, and when it has statistics of depths already.
    """
    if any(isinstance(module, DepthBatchNorm2d) for module in net.modules()):
        raise UnskipError("with_depth_statistics: the network has them already; name all depths at once")
    edited = copy.deepcopy(net)
    for blocks in depths:
        net.at_depth(*blocks)  # raises for what cannot be
    for name, module in list(edited.named_modules()):
        if type(module) is nn.BatchNorm2d and module.track_running_stats:
            parent, _, child = name.rpartition(".")
            setattr(edited.get_submodule(parent), child, DepthBatchNorm2d(module, depths))
    arguments = {"depths": [list(blocks) for blocks in depths]}
    edited.spec = net.spec.edited("with_depth_statistics", **arguments) if net.spec else None
    return edited


def without_depth_statistics(net: StagedNet) -> StagedNet:
    """A copy of a network as it was before `with_depth_statistics`, with the weights and statistics that it has now.

    Of a sub-net, what :func:`extract` makes of it, its own statistics included. The spec no longer names the edit.
    """
    own = extract(net)
    for name, module in list(own.named_modules()):
        if isinstance(module, DepthBatchNorm2d):
            parent, _, child = name.rpartition(".")
            setattr(own.get_submodule(parent), child, _ordinary(module))
    if own.spec is not None:
        kept = tuple(edit for edit in own.spec.edits if edit[0] != "with_depth_statistics")
        own.spec = NetSpec(own.spec.source, own.spec.options, kept)
    return own


def _ordinary(norm: DepthBatchNorm2d) -> nn.BatchNorm2d:
    own = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum).to(norm.weight.device, norm.weight.dtype)
    own.load_state_dict({name: tensor for name, tensor in norm.state_dict().items() if "." not in name})
    return own.train(norm.training)


def with_recalibrated_statistics(net: StagedNet, batches: Iterable[Tensor]) -> StagedNet:
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
