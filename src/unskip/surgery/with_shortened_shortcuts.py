"""Shortcuts over one convolution each, in the place of one over several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unskip.errors import UnskipError, first_line
from unskip.nets.cheap_shapes import CheapShapes
from unskip.nets.depth import shape_change
from unskip.nets.layers import sequence
from unskip.nets.shapes import meta_copy
from unskip.nets.staged_net import Residual, StagedNet
from unskip.surgery._blocks import chosen_blocks
from unskip.surgery._chains import chain
from unskip.surgery._edit import edit

Layers = list[tuple[str, nn.Module]]


@edit
def with_shortened_shortcuts(net: StagedNet, *, keep: Sequence[str] = (), only: Sequence[str] = ()) -> StagedNet:
    """A copy of a network whose shortcuts span one convolution each, as Tailor's shortened ones (Weng et al., 2024).

    Each convolution of a block, with its BatchNorm, gets a shortcut of its own: the block's projection where the shape
    changes, an identity elsewhere. What stood between two convolutions stands behind the first one's sum, what stood in
    front of them all in front of the first shortcut too. So the basic block becomes ``y = relu1(bn1(conv1(x)) +
    shortcut(x))`` and ``activation(bn2(conv2(y)) + y)``. While a convolution runs, what it reads is alive anyway, so
    such an identity adds nothing to the peak; a projection adds its own output.

    No layer is new. The weights are copies, ``stage1.block1.body.conv2`` is ``stage1.block1.unit2.body.conv2``; the
    function is another one, meant to be trained. ``keep`` and ``only`` say which shortcuts, as in `without_shortcuts`;
    one that spans a single convolution stays as it is.

    Raises `UnskipError` for a name that fits no shortcut, and for a block in which neither an identity nor its own
    projection can span each convolution, such as a bottleneck with its narrow middle; the message names them for
    ``keep``.
    """
    chosen = chosen_blocks(net, keep=keep, only=only)
    refused = {}
    for place, block in chosen.items():
        try:
            net.set_submodule(place, _shortened(block))
        except _CannotShortenError as error:
            refused[place] = str(error)
    if refused:
        place, reason = next(iter(refused.items()))
        raise UnskipError(
            f"{len(refused)} of {len(chosen)} cannot be shortened, {place} because {reason}; leave such shortcuts as "
            f"they are with keep: [{', '.join([*keep, *refused])}]"
        )
    return net


def can_be_shortened(block: Residual) -> bool:
    """Whether a block's shortcut spans several convolutions and can become one over each."""
    try:
        return _shortened(block) is not block
    except _CannotShortenError:
        return False


class _CannotShortenError(Exception):
    """Why the shortcut of a block cannot become one over each of its convolutions."""


@dataclass(frozen=True)
class _Unit:
    """A convolution and its BatchNorm, which a shortcut spans, and what stands behind, in front of the next one."""

    layers: Layers
    behind: Layers


def _shortened(block: Residual) -> nn.Module:
    """The block with a shortcut over each convolution; itself where it has but one."""
    if type(block) is not Residual:
        raise _CannotShortenError(f"it is a {type(block).__name__}")
    entry, units = _cut(block.body)
    if len(units) < 2:
        return block
    own = _place_of_own_shortcut(block)
    layers = dict(entry)
    for index, unit in enumerate(units):
        shortcut = block.shortcut if index == own else nn.Identity().train(block.training)
        activation = _activation(unit.behind, block.training) if index < len(units) - 1 else block.activation
        residual = Residual(sequence(dict(unit.layers), block.training), shortcut, activation)
        residual.training = block.training
        layers[f"unit{index + 1}"] = residual
    return sequence(layers, block.training)


def _cut(body: nn.Module) -> tuple[Layers, list[_Unit]]:
    """What stands in front of the first convolution, and a unit for each; the last unit has all that follows."""
    if not isinstance(body, nn.Sequential):
        raise _CannotShortenError(f"its body is a {type(body).__name__}, not a sequence of layers")
    layers = [(place.path, place.layer) for place in chain(body)]
    for name, layer in layers:
        if not isinstance(layer, nn.Conv2d) and any(isinstance(inner, nn.Conv2d) for inner in layer.modules()):
            raise _CannotShortenError(f"there is a convolution inside of {name}, a {type(layer).__name__}")
    starts = [index for index, (_, layer) in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    units = []
    for start, end in pairwise([*starts, len(layers)]):
        cut = start + 1
        while cut < end and (end == len(layers) or isinstance(layers[cut][1], _BatchNorm)):
            cut += 1
        units.append(_Unit(layers[start:cut], layers[cut:end]))
    return layers[: starts[0] if starts else None], units


def _place_of_own_shortcut(block: Residual) -> int:
    """Which unit the block's own shortcut spans; identities must span all others."""
    twin = meta_copy(block)
    assert isinstance(twin, Residual)
    entry, units = _cut(twin.body)
    first = units[0].layers[0][1]
    assert isinstance(first, nn.Conv2d)
    own = None
    try:
        with torch.no_grad(), CheapShapes():
            x = sequence(dict(entry))(torch.empty(1, first.in_channels, 33, 33, device="meta"))
            for index, unit in enumerate(units):
                output = sequence(dict(unit.layers))(x)
                if own is None and _fits(twin.shortcut, x, output):
                    own = index
                elif output.shape != x.shape:
                    name = unit.layers[0][0]
                    raise _CannotShortenError(f"its {name} {shape_change(x, output)}, which no identity can span")
                x = sequence(dict(unit.behind))(output)
    except (RuntimeError, ValueError) as error:
        raise _CannotShortenError(f"its layers do not run alone ({first_line(error)})") from error
    if own is None:
        raise _CannotShortenError("its projection fits none of its convolutions")
    return own


def _fits(shortcut: nn.Module, x: Tensor, output: Tensor) -> bool:
    """Whether a shortcut can span what makes ``output`` of ``x``."""
    try:
        return bool(shortcut(x).shape == output.shape)
    except RuntimeError:  # a projection for other channels
        return False


def _activation(layers: Layers, training: bool) -> nn.Module:
    """Layers as one; without any, an identity."""
    if not layers:
        return nn.Identity().train(training)
    return layers[0][1] if len(layers) == 1 else sequence(dict(layers), training)
