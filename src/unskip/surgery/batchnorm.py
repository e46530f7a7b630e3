"""Fold BatchNorm into the convolution in front of it."""

from __future__ import annotations

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unskip.nets.staged import StagedNet

__all__ = ["fold_batchnorm"]


def fold_batchnorm(net: StagedNet) -> StagedNet:
    """A copy for inference in which every BatchNorm that follows a convolution is part of it.

    The outputs are those of the network in eval mode, up to rounding. A BatchNorm with no convolution directly in front
    of it stays. The copy is in eval mode.
    """
    folded = copy.deepcopy(net).eval()
    used = [id(m) for m in folded.modules() if isinstance(m, nn.Sequential) for m in m._modules.values()]
    for sequence in [m for m in folded.modules() if isinstance(m, nn.Sequential)]:
        for (name, first), (next_name, second) in pairwise(list(sequence.named_children())):
            if (
                isinstance(first, nn.Conv2d)
                and isinstance(second, nn.BatchNorm2d)
                and second.track_running_stats
                and used.count(id(first)) == 1
            ):
                setattr(sequence, name, fuse_conv_bn_eval(first, second))
                delattr(sequence, next_name)
    folded.spec = net.spec.edited("fold_batchnorm") if net.spec else None
    return folded
