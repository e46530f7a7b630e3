"""Where the parts of a network end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, pairwise
from math import prod

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from unskip.errors import UnskipError
from unskip.nets.joining import Trunk
from unskip.nets.piece import Piece, in_sequence
from unskip.nets.staged_net import Joining, Residual
from unskip.nets.unopened import unopened_modules


def parts_of(pieces: Sequence[Piece], image: tuple[int, ...]) -> dict[str, nn.Sequential]:
    """Stem, stages and head of a chain from images of a shape to logits: the head comes behind the last map."""
    head = max((place + 1 for place, piece in enumerate(pieces) if _side(piece.shape) > 1), default=0)
    return _cut(pieces, _starts(pieces, _drops(pieces[:head], image), head, ()), head)


def parts_with_join(pieces: Sequence[Piece], image: tuple[int, ...], trunk: Trunk) -> dict[str, nn.Sequential]:
    """Stem, stages and head of a trunk: a part ends where a map lies that the answers need, the head joins them.

    Where a network dilates its convolutions in the place of a lower resolution, a stage begins too.
    """
    ends = {piece.nodes[-1]: place + 1 for place, piece in enumerate(pieces)}
    read = {node: ends.get(node, 0) for node in trunk.maps}
    head = max([_head_start(pieces, image), *read.values()])
    drops = sorted({*_drops(pieces[:head], image), *_dilations(pieces[:head])})
    parts = _cut(pieces, _starts(pieces, drops, head, tuple(read.values())), head)
    if trunk.join is not None:
        sizes = accumulate(len(part) for part in parts.values())
        names = {0: "images"} | {end: name for end, name in zip(sizes, parts, strict=True) if name != "head"}
        layers = {**dict(parts["head"].named_children()), "join": trunk.join}
        parts["head"] = Joining(layers, [names[end] + trunk.maps[node] for node, end in read.items()])
    return parts


def _starts(pieces: Sequence[Piece], drops: Sequence[int], head: int, ends: Collection[int]) -> list[int]:
    """Where the stages begin, ``ends`` being where a part has to end."""
    starts = sorted(({_module_start(pieces, drop, drops) for drop in drops} | set(ends)) - {0})
    stem = min([head, *starts[:1], *(place for place, piece in enumerate(pieces) if place and _ends_stem(piece))])
    starts = [stem, *(start for start in starts if stem < start < head), head]
    starts = [start for start, end in pairwise(starts) if start in ends or any(map(_has_weights, pieces[start:end]))]
    if not starts:
        raise UnskipError(f"the network has no stages: {_why_no_stages(pieces)}")
    return starts


def _cut(pieces: Sequence[Piece], starts: Sequence[int], head: int) -> dict[str, nn.Sequential]:
    parts = {"stem": in_sequence(pieces[: starts[0]])}
    for number, (start, end) in enumerate(pairwise([*starts, head]), 1):
        parts[f"stage{number}"] = in_sequence(pieces[start:end])
    parts["head"] = in_sequence(pieces[head:])
    return parts


def _head_start(pieces: Sequence[Piece], image: tuple[int, ...]) -> int:
    """Behind the largest module that holds the last block and not all that follows.

    Without blocks, the last layer with weights that lowers the resolution, or comes next behind what lowers it.
    """
    blocks = [place for place, piece in enumerate(pieces) if isinstance(piece.module, Residual)]
    drop = max(_drops(pieces, image), default=0)
    last = max(blocks, default=next((place for place in range(drop, len(pieces)) if _has_weights(pieces[place])), drop))
    names = pieces[last].place.split(".")
    for depth in range(1, len(names) + 1):
        module = ".".join(names[:depth])
        end = max((place for place, piece in enumerate(pieces) if _is_in(piece, module)), default=last)
        if module and last <= end < len(pieces) - 1:
            return end + 1
    return last + 1


def _dilations(pieces: Sequence[Piece]) -> list[int]:
    """The pieces with convolutions that are dilated more than all before."""
    dilated, most = [], 1
    for place, piece in enumerate(pieces):
        convolutions = (module for module in piece.module.modules() if isinstance(module, _ConvNd))
        dilation = max((max(each.dilation) for each in convolutions), default=1)
        if dilation > most:
            dilated.append(place)
            most = dilation
    return dilated


def _is_in(piece: Piece, module: str) -> bool:
    return f"{piece.place}.".startswith(f"{module}.")


def _why_no_stages(pieces: Sequence[Piece]) -> str:
    unopened = {place: why for piece in pieces for place, why in unopened_modules(piece.module).items()}
    if unopened:
        place, why = next(iter(unopened.items()))
        return f"{place} could not be opened, since {why}"
    largest = max(pieces, key=lambda piece: sum(weight.numel() for weight in piece.module.parameters()), default=None)
    if (
        largest
        and isinstance(largest.module, fx.GraphModule)
        and any(isinstance(each, _ConvNd) for each in largest.module.modules())
    ):
        where = largest.place or "its own forward"
        return (
            f"{where} holds branches from one end to the other, with no map between on which all that follows depends"
        )
    return "between its first convolution and its last map lies no layer"


def _has_weights(piece: Piece) -> bool:
    return any(True for _ in piece.module.parameters())


def _side(shape: tuple[int, ...]) -> int:
    """Pixels of a map; 1 for what is no map."""
    return prod(shape[2:]) if len(shape) == 4 else 1


def _drops(pieces: Sequence[Piece], image: tuple[int, ...]) -> list[int]:
    """The pieces behind which the resolution is lower than in front of them."""
    before = [image, *(piece.shape for piece in pieces)]
    return [place for place, piece in enumerate(pieces) if _side(piece.shape) < _side(before[place])]


def _module_start(pieces: Sequence[Piece], drop: int, drops: Sequence[int]) -> int:
    """The first piece of the largest module in which the resolution falls here only, and in which nothing begins."""
    names = pieces[drop].place.split(".")
    for depth in range(1, len(names)):
        module = ".".join(names[:depth])
        inside = [place for place, piece in enumerate(pieces) if _is_in(piece, module)]
        if inside[0] > 0 and sum(place in inside for place in drops) == 1:
            return inside[0]
    return drop


def _ends_stem(piece: Piece) -> bool:
    """Whether a piece is none of a stem: a block, a pool, a 1x1 or grouped convolution, branches with convolutions."""
    if isinstance(piece.module, _ConvNd):
        return piece.module.groups > 1 or max(piece.module.kernel_size) == 1
    return piece.kind == "pool" or any(isinstance(module, Residual | _ConvNd) for module in piece.module.modules())
