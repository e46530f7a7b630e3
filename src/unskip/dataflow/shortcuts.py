"""What the shortcuts of a network cost: memory held, parameters, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from unskip.dataflow.counts import count_macs, num_parameters
from unskip.dataflow.memory import live_elements
from unskip.dataflow.operations import Dataflow, trace
from unskip.nets import StagedNet, staged
from unskip.surgery import residual_blocks


@dataclass(frozen=True)
class Shortcut:
    """One shortcut and what it costs.

    ``place`` is the block (``stage2.block1``), ``kind`` is ``identity`` or ``projection``. ``bytes_held`` is
    the largest number of bytes of feature maps that are alive only because of the shortcut; ``held_during``
    names the operations during which there are any. Shapes are ``(channels, height, width)``. ``parameters``
    and ``macs`` are those of the projection, 0 for an identity; its BatchNorm counts among the parameters.
    """

    place: str
    kind: str
    bytes_held: int
    held_during: tuple[str, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


def inventory(
    net: nn.Module, input_shape: tuple[int, int, int], *, inplace: bool = True, bytes_per_element: int = 4
) -> list[Shortcut]:
    """The shortcuts of a network in order, for one image of ``(channels, height, width)``.

    What a shortcut holds at an operation is the difference between the live bytes and those without this one
    shortcut, all that does not belong to it staying as it is; see :func:`unskip.dataflow.forecast` for what is
    alive and what ``inplace`` means. A network that is no `StagedNet` is parsed. Raises `UnskipError` where that fails.
    """
    net = _staged(net, input_shape)
    dataflow = trace(net, input_shape)
    full = live_elements(dataflow, inplace=inplace)
    shortcuts = []
    for place, block in residual_blocks(net).items():
        bypass = bypass_of(dataflow, [place])
        (addition,) = bypass
        without = live_elements(dataflow, inplace=inplace, bypass=bypass)
        held = [with_it - without_it for with_it, without_it in zip(full, without, strict=True)]
        names = (operation.name for operation in dataflow.operations)
        shape = _input_shape(dataflow, place, addition)
        shortcuts.append(
            Shortcut(
                place=place,
                kind=block.kind,
                bytes_held=max(held) * bytes_per_element,
                held_during=tuple(name for name, elements in zip(names, held, strict=True) if elements > 0),
                input_shape=shape,
                output_shape=dataflow.shapes[addition + 1],
                parameters=num_parameters(block.shortcut),
                macs=count_macs(block.shortcut, shape) if block.kind == "projection" else 0,
            )
        )
    return shortcuts


def shortcuts_at_the_peak(net: nn.Module, input_shape: tuple[int, int, int], *, inplace: bool = True) -> list[str]:
    """The places of shortcuts that are enough to remove: without them, the peak is as low as without any.

    They are those that hold something at an operation where more is alive than is at the peak without shortcuts. None
    where removing all does not lower the peak, all where one is inside of another and these are not enough. For one
    image of ``(channels, height, width)``; a plain `torch.nn.Module` is parsed, as by :func:`inventory`.
    """
    net = _staged(net, input_shape)
    dataflow = trace(net, input_shape)
    places = list(residual_blocks(net))
    full = live_elements(dataflow, inplace=inplace)
    lowest = max(live_elements(dataflow, inplace=inplace, bypass=bypass_of(dataflow, places)))
    above = [index for index, elements in enumerate(full) if elements > lowest]
    enough = []
    for place in places if above else []:
        without = live_elements(dataflow, inplace=inplace, bypass=bypass_of(dataflow, [place]))
        if any(without[index] < full[index] for index in above):
            enough.append(place)
    peak = max(live_elements(dataflow, inplace=inplace, bypass=bypass_of(dataflow, enough)))
    return enough if peak <= lowest or not above else places


def shortcut_share(net: nn.Module, input_shape: tuple[int, int, int], *, inplace: bool = True) -> float:
    """The share of live feature-map bytes that the shortcuts hold, from 0 to 1.

    Live bytes are summed over the operations of the network, once as it is and once without any shortcut; the
    share is the difference divided by the first sum. Both sums run over the same operations: where a
    projection or an addition no longer runs, the second counts what is alive in its place. This is about time
    under load, not about the peak. A plain `torch.nn.Module` is parsed, as by :func:`inventory`.
    """
    net = _staged(net, input_shape)
    dataflow = trace(net, input_shape)
    full = sum(live_elements(dataflow, inplace=inplace))
    bypass = bypass_of(dataflow, residual_blocks(net))
    return 1 - sum(live_elements(dataflow, inplace=inplace, bypass=bypass)) / full


def _staged(net: nn.Module, input_shape: tuple[int, int, int]) -> StagedNet:
    """The network, parsed with images of that shape where it is a plain one."""
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    parameter = next(net.parameters(), images)
    return staged(net, images.to(parameter.device, parameter.dtype))


def bypass_of(dataflow: Dataflow, places: Iterable[str]) -> dict[int, int]:
    """What :func:`unskip.dataflow.memory.live_elements` must bypass to leave out the shortcuts at ``places``.

    That is each one's addition, which hands on what the block's body gives.
    """
    additions = {op.scope: index for index, op in enumerate(dataflow.operations) if op.kind == "add"}  # each one's last
    return {additions[place]: dataflow.operations[additions[place]].inputs[0] for place in places}


def _input_shape(dataflow: Dataflow, place: str, addition: int) -> tuple[int, ...]:
    """The shape of what enters a shortcut: the input of its first layer, or what the addition reads."""
    operations, of_shortcut = dataflow.operations, f"{place}.shortcut."
    inside = (operation.inputs[0] for operation in operations if f"{operation.name}.".startswith(of_shortcut))
    return dataflow.shapes[next(inside, operations[addition].inputs[-1])]
