"""Remove shortcuts without training and without changing the function: reserve and merge.

Meng et al., "RMNet: Equivalently Removing Residual Connection from Networks" (2021). *Reserve*: the convolutions of a
block get extra channels that carry the block's input along, copied by Dirac kernels. *Merge*: the last convolution adds
them as the shortcut did, by a Dirac kernel for an identity, by the 1x1 kernel of a projection. For a basic block of C
channels, ``relu(conv2(relu(conv1(x))) + x)`` becomes ``relu(conv2'(relu(conv1'(x))))`` with 2 C channels between.

That is exact where the activations between hand the carried channels on as they are: a ReLU where x cannot be negative,
a ReLU6 where it cannot exceed 6 either. Where the layers in front of the block do not guarantee it (pre-activation
blocks, linear bottlenecks), and for other activations, a `PartialActivation` lets the carried channels pass: half the
channels that carrying relu(x) and relu(-x) would need, and exact for a ReLU6 too. Where they do, only convolutions
and activations are left.

A projection with stride s reads x at (s i, s j). So does a Dirac kernel with this stride in a 3x3 convolution of
padding 1: the copy is subsampled on the way, and the last convolution applies the projection to it.

Where the carried channels fill groups of the body's own convolution, as in a bottleneck's 3x3, which keeps its
channels, they go through groups of their own: 5/25 of a dense kernel's size where the input is 4 times as wide.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from unskip.errors import UnskipError
from unskip.nets.fading import FadingResidual
from unskip.nets.functions import ELEMENTWISE
from unskip.nets.staged_net import Residual, StagedNet, plain_block
from unskip.surgery._blocks import chosen_blocks, residual_blocks
from unskip.surgery._carry import CannotCarryError, Channels, activating, adding, carrying
from unskip.surgery._chains import Place, chain
from unskip.surgery._edit import edit
from unskip.surgery._ranges import Range, ranges_into_blocks
from unskip.surgery._stochastic_depth import is_stochastic_depth
from unskip.surgery.fold_batchnorm import fold_batchnorm, fused


@edit
def without_shortcuts_exactly(net: StagedNet, *, keep: Sequence[str] = ()) -> StagedNet:
    """A copy for inference without shortcuts that computes what the network computes in eval mode, up to rounding.

    Nothing is trained: wider convolutions carry each block's input to the block's last one, which adds it (RMNet; the
    head of this function's file says how). The copy is larger and slower, and its maps hold what the shortcuts held:
    compare :func:`unskip.dataflow.count_macs` and :func:`unskip.forecast`. The maps of the stages stay. BatchNorm is
    folded as by `fold_batchnorm`, dropout and stochastic depth are left out of the blocks, and the copy is in eval
    mode. ``keep`` as in `without_shortcuts`.

    Raises `UnskipError` with the block and the reason for a body that is anything but convolutions with activations
    between, ending with a convolution; for convolutions whose kernel has no centre on the pixel, or whose groups leave
    no room; for a projection other than a 1x1 convolution; for a shortcut that fades; and for a name in ``keep`` that
    fits no shortcut.
    """
    chosen = chosen_blocks(net, keep=keep, only=())
    plain = fold_batchnorm(net)
    ranges = ranges_into_blocks(plain)
    # Innermost first: a block within a body is a sequence by the time of the outer one.
    for place, block in reversed(residual_blocks(plain).items()):
        if place not in chosen:
            continue
        try:
            body = _merged(block, ranges.get(place, Range()))
        except CannotCarryError as reason:
            raise UnskipError(f"the shortcut of {place} cannot be merged: {reason} (keep lets it stay)") from None
        plain.set_submodule(place, plain_block(body, block.activation).eval())
    return plain


@torch.no_grad()
def _merged(block: Residual, values: Range) -> nn.Module:
    """The body of a block, made to compute ``body(x) + shortcut(x)`` for any x of these values."""
    if isinstance(block, FadingResidual):
        raise CannotCarryError("it fades; take the network before it was made to fade, or after it has faded")
    holder = nn.Sequential(OrderedDict(body=copy.deepcopy(block.body)))
    places = _without_dropout(holder)
    layers = [place.layer for place in places]
    convs = _checked_convs(layers)
    projection = _checked_projection(block, convs)
    if layers[0] is not convs[0]:
        places = _opened(holder, places[0], convs[0])
    inputs = list(range(convs[0].in_channels))
    channels = Channels(inputs, inputs)
    for place in places[:-1]:
        layer = place.layer
        if isinstance(layer, nn.Conv2d):
            layer, channels = carrying(layer, channels)
        else:
            layer = activating(layer, channels, values, like=convs[0].weight)
        place.replace(layer)
    places[-1].replace(adding(convs[-1], channels, projection))
    return holder.get_submodule("body")


def _without_dropout(holder: nn.Sequential) -> list[Place]:
    """Take out what does nothing in eval mode; the places of the layers that are left, in the order in which they run.

    Raises where a layer runs twice, since it would have to be widened in two ways.
    """
    places = list(chain(holder))
    if len({(id(place.container), place.name) for place in places}) < len(places):
        raise CannotCarryError("its body runs a sequence of layers twice")
    dropouts = []
    for place in places:
        if isinstance(place.layer, nn.Identity | _DropoutNd) or is_stochastic_depth(place.layer):
            place.remove()
        else:
            dropouts.append(place)
    return dropouts


def _checked_convs(layers: Sequence[nn.Module]) -> list[nn.Conv2d]:
    """The convolutions among the layers of a body. Raises where a layer cannot carry channels along."""
    for number, layer in enumerate(layers):
        kind = type(layer).__name__
        if isinstance(layer, nn.BatchNorm2d):
            if number > 0 or not layer.track_running_stats:
                raise CannotCarryError("its body has a BatchNorm that cannot be folded into a convolution")
        elif type(layer) is nn.Conv2d:
            if not _keeps_centre(layer):
                raise CannotCarryError(f"a kernel is not centred on the pixel that it makes: {layer}")
        elif not isinstance(layer, (nn.PReLU, *ELEMENTWISE)):
            raise CannotCarryError(f"its body has a {kind}, which is neither convolution nor elementwise activation")
    if not layers or type(layers[-1]) is not nn.Conv2d:
        raise CannotCarryError("its body does not end with a convolution")
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)]


def _keeps_centre(conv: nn.Conv2d) -> bool:
    """Whether the kernel has a centre, and this reads pixel (stride i, stride j) for pixel (i, j) of the output."""
    if conv.padding == "same":
        return all(size % 2 for size in conv.kernel_size)
    padding = (0, 0) if isinstance(conv.padding, str) else conv.padding
    sides = zip(conv.kernel_size, conv.dilation, padding, strict=True)
    return all(size % 2 and 2 * pad == dilation * (size - 1) for size, dilation, pad in sides)


def _checked_projection(block: Residual, convs: Sequence[nn.Conv2d]) -> nn.Conv2d | None:
    """The projection of a block, a 1x1 convolution; None for an identity. Raises for what cannot be merged."""
    stride = tuple(math.prod(conv.stride[side] for conv in convs) for side in (0, 1))
    inputs, outputs = convs[0].in_channels, convs[-1].out_channels
    layers = [place.layer for place in chain(nn.Sequential(block.shortcut))]
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    if not layers:
        if (stride, inputs) != ((1, 1), outputs):
            raise CannotCarryError("its identity and its body give maps of two shapes")
        return None
    projection = layers[0]
    if len(layers) > 1 or type(projection) is not nn.Conv2d:
        kinds = " and ".join(type(layer).__name__ for layer in layers)
        raise CannotCarryError(f"its projection is {kinds}, not a 1x1 convolution with or without BatchNorm")
    if projection.kernel_size != (1, 1) or not _keeps_centre(projection) or projection.groups > 1:
        raise CannotCarryError(f"its projection is no dense 1x1 convolution without padding: {projection}")
    if (projection.stride, projection.in_channels, projection.out_channels) != (stride, inputs, outputs):
        raise CannotCarryError("its projection and its body give maps of two shapes")
    return projection


def _opened(holder: nn.Sequential, first: Place, conv: nn.Conv2d) -> list[Place]:
    """Let a body that begins with a BatchNorm or an activation begin with a 1x1 convolution, the BatchNorm in it.

    There the block's input and what the body makes of it part.
    """
    weight = nn.init.dirac_(conv.weight.new_empty(conv.in_channels, conv.in_channels, 1, 1))
    opening = nn.Conv2d(conv.in_channels, conv.in_channels, kernel_size=1, bias=False, device="meta").eval()
    opening.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
    if isinstance(first.layer, nn.BatchNorm2d):
        opening = fused(opening, first.layer)
        first.remove()
    body = holder.get_submodule("body")
    assert isinstance(body, nn.Sequential)
    assert "opening" not in body._modules
    holder.body = nn.Sequential(OrderedDict([("opening", opening), *body.named_children()]))
    return list(chain(holder))
