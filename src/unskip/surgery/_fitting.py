"""Remove shortcuts by fitting, from some images and without labels: the start of a plain net from a trained one.

A block that was trained with its shortcut mostly hands its input on: in a trained ResNet-56 the body adds 7 to 27 % of
the variance that the shortcut brings. A plain body with its own weights has lost that, and training has to find it
again through dozens of layers. A plain body of the same shape can hold most of it:

- *Carry.* Every convolution of the body but the last hands its input on, by a Dirac kernel, in the output channels that
  matter least, at most in ``room`` of them, which add ``share`` of what they did: ``delta + share W``. The others do
  what they did. Where there are more channels to carry, those are from which the rest follows best by linear
  regression: half of a ResNet-20's say nearly all. Where the activation behind it would cut what is carried, a bias and
  a scale move it out of its way.
- *Fit.* The last convolution is solved for, by ridge regression on the maps of a few hundred images, so that the body
  without the shortcut answers ``body(x) + shortcut(x)``, in front of the block's activation. No label is read.
- *Reconstruct.* From there the block is trained, together with the one in front of it, to answer as the network's own
  block does: a few passes over kept maps, through two blocks and never through the whole net. Bodies that least
  squares do not know start here, from their own weights.
- *In order.* Blocks are fitted from the first to the last on what the plain net hands them, towards what the network
  itself has there, so that each corrects a part of what the ones before it missed (as He, Zhang and Sun reconstruct
  pruned layers, "Channel Pruning for Accelerating Very Deep Neural Networks", 2017; block by block with gradients: Li
  et al., "BRECQ", 2021, for quantisation).

``room``, ``share`` and the strength of the ridge are chosen for every block by its error on images that were not
fitted. The result has the layers of :func:`unskip.surgery.without_shortcuts`, with other weights and statistics.
`without_shortcuts_exactly` needs no fit, and a wider body: here nothing is wider, and something is lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from unskip.errors import UnskipError
from unskip.nets.fading import FadingResidual
from unskip.nets.plain_modules import staged
from unskip.nets.staged_net import Joining, Residual, StagedNet
from unskip.surgery._blocks import chosen_blocks
from unskip.surgery._carrying import Convolution, carry, inputs_of, places_to_carry, write
from unskip.surgery._least_squares import LeastSquares
from unskip.surgery._reconstruction import reconstruct, unexplained
from unskip.surgery._series import Layer, in_series
from unskip.surgery.without_shortcuts import without_shortcuts

ROOMS = (0.5, 0.75, 1.0)
SHARES = (0.0, 0.3, 1.0, 3.0)
RIDGES = (1e-4, 1e-2)
PASSES = 10.0
_SOLVED = 256  # images at most


class _CannotSolveError(Exception):
    """Why a body is none for least squares."""


@dataclass(frozen=True)
class FittedNet:
    """A network without shortcuts, and how well its blocks stand in for those that had them.

    ``unexplained`` is, for each fitted block, the share of the variance of its output that it misses, on images that
    were not fitted, errors of the blocks in front of it included. ``unfitted`` are the blocks that kept their own
    weights, with the reason.
    """

    net: StagedNet
    unexplained: Mapping[str, float] = field(default_factory=dict)
    unfitted: Mapping[str, str] = field(default_factory=dict)


@torch.no_grad()
def fit_without_shortcuts(
    net: nn.Module,
    batches: Iterable[Tensor],
    *,
    passes: float = PASSES,
    keep: Sequence[str] = (),
    only: Sequence[str] = (),
    on_block: Callable[[str, float], object] | None = None,
) -> FittedNet:
    """A network without its shortcuts whose blocks are fitted to answer as they did with them; this file says how.

    ``batches`` are images as the network takes them, each (batch, channels, height, width), at least two batches. The
    last eighth of them, or the last, is not fitted, but chosen by. All are kept in memory, and the maps of two blocks
    with them. ``passes`` says how often each pair of blocks sees them to be reconstructed; 0 leaves it at the least
    squares, which take at most 256 images and know convolutions, BatchNorms and activations in series; other bodies
    are reconstructed from their own weights. ``keep`` and ``only`` as in `without_shortcuts`. ``on_block`` is told of
    every block that is fitted, and what it misses. The copy is in eval mode, and where the images are.

    Raises `UnskipError` for fewer batches, and for a name that fits no shortcut.
    """
    images = [x.contiguous(memory_format=torch.channels_last) for x in batches]
    if len(images) < 2:
        raise UnskipError(f"fitting needs two batches of images or more, and has {len(images)}")
    original = copy.deepcopy(staged(net)).to(images[0].device).eval()
    chosen = chosen_blocks(original, keep=keep, only=only)
    plain = without_shortcuts(original, keep=keep, only=only).eval()
    fitting = _Fitting(chosen, images, passes, on_block)
    fitting.follow(original, plain, "")
    left = {
        place: fitting.unsolved.get(place, "it lies within another block")
        for place in chosen
        if place not in fitting.unexplained
    }
    return FittedNet(plain, fitting.unexplained, left)


class _Fitting:
    """Fits the blocks of a network on the way of the images through it."""

    def __init__(
        self,
        chosen: Mapping[str, Residual],
        images: Sequence[Tensor],
        passes: float,
        on_block: Callable[[str, float], object] | None,
    ) -> None:
        self.chosen = chosen
        self.passes = passes
        self.on_block = on_block
        held_out = max(1, len(images) // 8)
        self.shown = range(len(images) - held_out)  # the batches that are fitted
        self.chosen_by = range(len(images) - held_out, len(images))  # and those that choose
        self.solved = _first(self.shown, images, 3 * _SOLVED // 4) + _first(self.chosen_by, images, _SOLVED // 4)
        self.maps = list(images)
        self.plain_maps = list(images)  # in front of the block before, which is ..
        self.before: nn.Module | None = None  # .. reconstructed once more, with the next one
        self.unexplained: dict[str, float] = {}
        self.unsolved: dict[str, str] = {}

    def follow(self, original: nn.Module, plain: nn.Module, place: str) -> None:
        """Take the images through a part of the network and its plain counterpart, the blocks on the way fitted."""
        if isinstance(original, Residual) and place in self.chosen:
            if isinstance(original, FadingResidual):
                raise UnskipError(f"the shortcut of {place} fades; fit the network before it does")
            self._fit_block(original, plain, place)
        elif type(original) in (nn.Sequential, StagedNet):
            for name, child in original._modules.items():
                assert child is not None
                if isinstance(child, Joining):
                    break  # a head that reads other maps, behind all blocks
                self.follow(child, plain.get_submodule(name), f"{place}.{name}".removeprefix("."))
        else:
            self._pass()
            _apply(original, self.maps)
            _apply(plain, self.plain_maps)

    def _pass(self) -> None:
        """Go through the block before: it is done."""
        if self.before is not None:
            _apply(self.before, self.plain_maps)
        self.before = None

    def _fit_block(self, original: Residual, plain: nn.Module, place: str) -> None:
        targets = [
            original.body(self.maps[batch].clone()) + original.shortcut(self.maps[batch]) for batch in self.solved
        ]
        _apply(original, self.maps)
        before = nn.Identity() if self.before is None else self.before
        inputs = [before(self.plain_maps[batch].clone()) for batch in self.solved]
        missed: float | None = None
        try:
            count = sum(batch in self.shown for batch in self.solved)
            missed = _fit(plain.get_submodule("body"), original.activation, inputs, targets, count)
        except _CannotSolveError as reason:
            self.unsolved[place] = str(reason)
        if self.passes:
            pair = [plain] if self.before is None else [self.before, plain]
            missed = reconstruct(pair, self.plain_maps, self.maps, self.shown, self.chosen_by, self.passes)
        self._pass()
        self.before = plain
        if missed is not None:
            self.unexplained[place] = missed
            if self.on_block is not None:
                self.on_block(place, missed)


def _first(batches: Iterable[int], images: Sequence[Tensor], count: int) -> list[int]:
    """So many of the batches that they hold ``count`` images, or all."""
    chosen: list[int] = []
    for batch in batches:
        if sum(len(images[each]) for each in chosen) < count:
            chosen.append(batch)
    return chosen


def _apply(module: nn.Module, maps: list[Tensor]) -> None:
    """Replace maps by what a module, which may work in place, makes of them: one by one, not to keep all twice."""
    for place, x in enumerate(maps):
        maps[place] = module(x.clone())


def _fit(body: nn.Module, activation: nn.Module, maps_in: list[Tensor], targets: list[Tensor], count: int) -> float:
    """Give a body the best weights found, in place, and return its error: the share of the variance that it misses.

    Raises `_CannotSolveError`, before it changes anything.
    """
    *before, last = _convolutions(body)
    start = copy.deepcopy(body.state_dict())
    goals = [activation(target.clone()) for target in targets[count:]]

    def attempt(room: float, share: float) -> tuple[float, dict[str, Tensor]]:
        body.load_state_dict(start)
        carried = list(range(before[0].conv.in_channels)) if before else []
        for conv, after in pairwise([*before, last]):
            carried = carry(body, conv, after.conv, carried, room, share, maps_in)
        features = inputs_of(body, last.conv, maps_in)
        equations = LeastSquares(last.conv, intercept=last.norm is not None or last.conv.bias is not None)
        for maps, target in zip(features[:count], targets[:count], strict=True):
            equations.add(maps, target)
        results = []
        for ridge in RIDGES:
            write(last.conv, last.norm, *equations.solved(ridge), features)
            error = unexplained([activation(body(x.clone())) for x in maps_in[count:]], goals)
            results.append((error, copy.deepcopy(body.state_dict())))
        return min(results, key=_error)

    crowded = any(
        conv.groups == 1 and places_to_carry(conv, min(ROOMS)) < before[0].conv.in_channels
        for conv in (each.conv for each in before)
    )
    by_room = {room: attempt(room, SHARES[0]) for room in (ROOMS if crowded else ROOMS[:1])}
    best_room = min(by_room, key=lambda room: _error(by_room[room]))
    others = [attempt(best_room, share) for share in SHARES[1:]] if before else []
    error, state = min([*by_room.values(), *others], key=_error)
    body.load_state_dict(state)
    return error


def _error(result: tuple[float, dict[str, Tensor]]) -> float:
    return result[0]


def _convolutions(body: nn.Module) -> list[Convolution]:
    """The convolutions that everything in a body passes, the last with nothing but a BatchNorm behind it."""
    layers = [each.module for each in in_series(body) if isinstance(each, Layer)]
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity | nn.Dropout | nn.Dropout2d)]
    convolutions = []
    for place, layer in enumerate(layers):
        if type(layer) is not nn.Conv2d:
            continue
        behind = layers[place + 1 :]
        norm = behind.pop(0) if behind and type(behind[0]) is nn.BatchNorm2d else None
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        if norm is not None and not (norm.affine and norm.track_running_stats):
            raise _CannotSolveError("a BatchNorm of its body has no weights or no statistics")
        convolutions.append(Convolution(layer, norm, behind[0] if behind else None))
    if not convolutions or convolutions[-1].activation is not None:
        raise _CannotSolveError("its body does not end with a convolution, or with one and a BatchNorm")
    for conv in (each.conv for each in convolutions[:-1]):
        if conv.groups > 1 and conv.out_channels != conv.in_channels:
            raise _CannotSolveError(f"a convolution of its body has groups that hand nothing on: {conv}")
        if any(size % 2 == 0 for size in conv.kernel_size):
            raise _CannotSolveError(f"a kernel is not centred on the pixel that it makes: {conv}")
    last = convolutions[-1].conv
    if isinstance(last.padding, str) or last.padding_mode != "zeros":
        raise _CannotSolveError(f"its last convolution pads in another way than with zeros: {last}")
    return convolutions
