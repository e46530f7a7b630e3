"""Fold BatchNorm into the convolution in front of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from unskip.nets.staged_net import StagedNet
from unskip.surgery._chains import Place, chain
from unskip.surgery._edit import edit, edited_in_place
from unskip.surgery._sub_nets import at_one_depth
from unskip.surgery.fold_dirac import fold_dirac


@edit
def fold_batchnorm(net: StagedNet) -> StagedNet:
    """A copy for inference in which every BatchNorm that follows a convolution is part of it.

    The outputs are those of the network in eval mode, up to rounding; Dirac convolutions become ordinary ones on the
    way. In a pre-activation net without shortcuts a BatchNorm may follow the convolution of the block, or of the stage,
    before; the maps between are other ones then. A BatchNorm with no convolution directly in front of it stays, and so
    does one behind a convolution that makes its weights anew each time (weight standardisation, spectral norm). The
    copy is in eval mode.
    """
    folded = edited_in_place(fold_dirac, net, {}).eval()
    at_one_depth(folded)
    chains = list(_chains_between_maps(folded))
    for module in folded.modules():
        if not isinstance(module, nn.Sequential):
            chains += [list(chain(child)) for child in module.children() if isinstance(child, nn.Sequential)]
    used = [id(module) for _, module in folded.named_modules(remove_duplicate=False)]
    for places in chains:
        _fold(places, used)
    return folded


def _chains_between_maps(net: StagedNet) -> Iterator[list[Place]]:
    """What a network runs, cut where a map is read by the head too: that has to stay what it is."""
    places: list[Place] = []
    for name, part in net.named_parts():
        places += chain(part) if isinstance(part, nn.Sequential) else [Place(net, name, name)]
        if name in net.handed_on:
            yield places
            places = []
    yield places


def _fold(places: list[Place], used: list[int]) -> None:
    for before, place in pairwise(places):
        conv, norm = before.container._modules.get(before.name), place.layer  # a BatchNorm in front has gone
        if (
            isinstance(conv, nn.Conv2d)
            and isinstance(norm, nn.BatchNorm2d)
            and norm.track_running_stats
            and not is_parametrized(conv)
            and used.count(id(conv)) == used.count(id(norm)) == 1
        ):
            one = fused(conv, norm)
            if type(conv) is nn.Conv2d or _computes_the_same(conv, norm, one):
                before.replace(one)
                place.remove()


def fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that computes what the two do in eval mode, one after the other."""
    if conv.weight.is_meta and conv.out_channels == norm.num_features:
        fused = copy.deepcopy(conv)  # PyTorch takes its compiler to compute without values
        fused.bias = fused.bias if fused.bias is not None else nn.Parameter(conv.weight.new_empty(conv.out_channels))
    else:
        fused = fuse_conv_bn_eval(conv, norm)
        assert fused.bias is not None
    fused.bias.requires_grad_(fused.weight.requires_grad)  # torch freezes the bias that it adds
    return fused


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
        expected, computed = norm(conv(images)), fused(images)
    return bool((computed - expected).abs().max() <= 1e-3 * expected.abs().max())
