"""What sub-nets and plain forms of a network cost, none of which is built."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from unskip.dataflow.counts import macs_by_module
from unskip.nets import StagedNet
from unskip.nets.depth import block_names
from unskip.nets.shapes import copied_once
from unskip.search.sub_net_trace import SubNetTrace


class CountedNet:
    """A network with all its blocks and shortcuts, from which those of its sub-nets and plain forms are counted.

    ``places`` are those of its shortcuts.
    """

    def __init__(self, net: StagedNet, input_shape: tuple[int, int, int], traced: SubNetTrace | None = None) -> None:
        with copied_once():
            self._traced = traced or SubNetTrace(net, input_shape)
            self._macs = macs_by_module(net, input_shape)
        self.macs = self._macs[""]
        self.places = self._traced.places
        self._parameters = {
            name: (id(parameter), parameter.numel()) for name, parameter in net.named_parameters(remove_duplicate=False)
        }

    def figures(self, plain: Collection[str], left_out: Sequence[str]) -> dict[str, Any]:
        """The counted fields of a `Student` without the shortcuts at some places and without some blocks."""
        projections = [f"{place}.shortcut" for place in plain]
        outer = [name for name in projections if not within(name, [other for other in projections if other != name])]
        dropped = (*left_out, *outer)
        return {
            "peak_elements": self._traced.peak(plain, left_out),
            "macs": self.macs - sum(self._macs.get(name, 0) for name in dropped),
            "parameters": self._without(dropped),
        }

    def _without(self, dropped: Sequence[str]) -> int:
        """The parameters outside of some modules, shared ones once."""
        inside = tuple(f"{name}." for name in dropped)
        left = {key: count for name, (key, count) in self._parameters.items() if not name.startswith(inside)}
        return sum(left.values())


def left_out(net: StagedNet, depth: Sequence[int] | None) -> list[str]:
    """The blocks that a sub-net of the first so many of each stage has not; None for all of them."""
    if depth is None:
        return []
    return [
        f"{stage}.{block}"
        for stage, count in zip(net.stage_names, depth, strict=True)
        for block in block_names(net.get_submodule(stage))[count:]
    ]


def within(place: str, modules: Collection[str]) -> bool:
    """Whether a place is one of these modules or lies in one."""
    return any(f"{place}.".startswith(f"{module}.") for module in modules)
