"""BatchNorm statistics of their own for each depth of a network (EKD-DDNN, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import NonNegativeInt
from torch import nn

from unskip.errors import UnskipError
from unskip.nets.depth import DepthBatchNorm2d
from unskip.nets.staged_net import NetSpec, StagedNet
from unskip.surgery._edit import edit
from unskip.surgery._sub_nets import extract


@edit
def with_depth_statistics(net: StagedNet, *, depths: Sequence[Sequence[NonNegativeInt]]) -> StagedNet:
    """A copy whose BatchNorms keep statistics of their own for each of ``depths``, besides those of the whole network.

    Weights and biases stay shared. ``net.at_depth(*blocks)`` then uses, and in train mode updates, the statistics of
    its depth; until it is trained or recalibrated they are those of a fresh BatchNorm.

    Raises `UnskipError` for a depth that the network does not have, and when it has statistics of depths already.
    """
    if any(isinstance(module, DepthBatchNorm2d) for module in net.modules()):
        raise UnskipError("the network has them already; name all depths at once")
    for blocks in depths:
        net.at_depth(*blocks)  # raises for what cannot be
    for place, norm in list(net.named_modules()):
        if type(norm) is nn.BatchNorm2d and norm.track_running_stats:
            net.set_submodule(place, DepthBatchNorm2d(norm, depths))
    return net


def without_depth_statistics(net: nn.Module) -> StagedNet:
    """A copy of a network as it was before `with_depth_statistics`, with the weights and statistics that it has now.

    Of a sub-net, what `extract` makes of it, its own statistics included. The spec no longer names the edit.
    """
    own = extract(net)
    for place, norm in list(own.named_modules()):
        if isinstance(norm, DepthBatchNorm2d):
            own.set_submodule(place, _ordinary(norm))
    if own.spec is not None:
        kept = tuple(edit for edit in own.spec.edits if edit[0] != with_depth_statistics.__name__)
        own.spec = NetSpec(own.spec.source, own.spec.options, kept)
    return own


def _ordinary(norm: DepthBatchNorm2d) -> nn.BatchNorm2d:
    own = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum).to(norm.weight.device, norm.weight.dtype)
    own.load_state_dict({name: tensor for name, tensor in norm.state_dict().items() if "." not in name})
    return own.train(norm.training)
