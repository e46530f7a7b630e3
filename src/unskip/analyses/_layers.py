"""Which part of a network each layer of a device's program is, and what shortcuts have to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unskip.nets import StagedNet
    from unskip.records import Estimate

_WEIGHTED = ("Conv", "Depthwise", "FullyConnected", "Linear")  # how kinds of layers with weights begin


def layer_parts(net: StagedNet, input_shape: tuple[int, int, int], estimate: Estimate) -> tuple[str, ...]:
    """The block, or the part outside of blocks, of each layer; none where the layers do not match the network's.

    Convolutions and linear layers are matched in their order: a compiler may swap those of a body and its shortcut, but
    never those of two blocks. Another layer belongs to the one with weights in front of it.
    """
    from unskip.dataflow.operations import trace

    operations = trace(net, input_shape).operations
    names = [operation.name for operation in operations if operation.kind.startswith(_WEIGHTED)]
    weighted = [layer.operation.startswith(_WEIGHTED) for layer in estimate.layers]
    if not names or sum(weighted) != len(names):
        return ()
    parts, place = [], -1
    for has_weights in weighted:
        place += has_weights
        parts.append(_part(names[max(place, 0)], net))
    return tuple(parts)


def holding_blocks(net: StagedNet, parts: Sequence[str], place: int) -> tuple[str, ...]:
    """The block of a layer, where its shortcut holds a map then: its first layer reads that map anyway."""
    from unskip.surgery import residual_blocks

    if not parts or parts.index(parts[place]) == place:
        return ()
    return (parts[place],) if any(_within(block, parts[place]) for block in residual_blocks(net)) else ()


def cut_blocks(
    net: StagedNet, own: tuple[Estimate, Sequence[str]], plain: tuple[Estimate, Sequence[str]]
) -> tuple[str, ...]:
    """The blocks with a shortcut into which cascades run without shortcuts, and only without."""
    from unskip.surgery import residual_blocks

    blocks = {_part(block, net) for block in residual_blocks(net)}
    crossed, crossed_plain = (_entered(*each) for each in (own, plain))
    return tuple(part for part in crossed_plain if part in blocks and part not in crossed)


def _entered(estimate: Estimate, parts: Sequence[str]) -> list[str]:
    """The parts at whose beginning a cascade goes on, in order."""
    layers = estimate.layers
    entered = [
        parts[place]
        for place in range(1, len(parts))
        if parts[place] != parts[place - 1]
        and layers[place].cascade is not None
        and layers[place].cascade == layers[place - 1].cascade
    ]
    return list(dict.fromkeys(entered))


def _part(name: str, net: StagedNet) -> str:
    """``stage1.block2`` for what lies in a stage, ``stem`` or ``head`` for the rest."""
    names = name.split(".")
    return ".".join(names[:2]) if names[0] in net.stage_names else names[0]


def _within(block: str, part: str) -> bool:
    return f"{block}.".startswith(f"{part}.")
