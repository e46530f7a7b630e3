"""What can be said of a target without running it: counts, live feature maps, the planned arena."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field

from unskip.bench.targets import Target
from unskip.dataflow import MemoryTimeline, count_macs, forecast, num_parameters
from unskip.errors import UnskipError, first_line
from unskip.export import arena_of_file, planned_arena
from unskip.report.bench_record import Subject
from unskip.report.record import Operation, Timeline
from unskip.surgery import residual_blocks

__all__ = ["Forecasts"]

_ELEMENT_BYTES = {"float32": 4, "int8": 1}
_NO_NET = "the file does not say which network it holds"


@dataclass
class Forecasts:
    """Figures of networks, each computed once. A figure that is unknown is the sentence that says why."""

    _timelines: dict[str, MemoryTimeline | str] = field(default_factory=dict)
    _arenas: dict[object, int | str] = field(default_factory=dict)

    def subject(self, target: Target) -> Subject:
        """A target as the results have it."""
        net, timeline = target.net, self.timeline(target)
        known = timeline if isinstance(timeline, MemoryTimeline) else None
        return Subject(
            label=target.label,
            kind=target.kind,
            net=None if net is None or net.spec is None else str(net.spec),
            precision=target.precision,
            input_shape=target.input_shape,
            shortcuts=None if net is None else len(residual_blocks(net)),
            parameters=None if net is None else num_parameters(net),
            macs=None if net is None else count_macs(net, target.input_shape),
            memory=None if known is None else _row(known),
            policy=None if known is None else known.policy,
        )

    def timeline(self, target: Target) -> MemoryTimeline | str:
        """Live feature maps of one image."""
        if target.label not in self._timelines:
            self._timelines[target.label] = _timeline(target)
        return self._timelines[target.label]

    def arena_bytes(self, target: Target, batch_size: int) -> int | str:
        """What ExecuTorch's planner sets aside for the feature maps of a batch."""
        place = _same_plan(target), target.input_shape, batch_size
        if place not in self._arenas:
            self._arenas[place] = _arena(target, batch_size)
        return self._arenas[place]


def _timeline(target: Target) -> MemoryTimeline | str:
    if target.net is None:
        return _NO_NET
    if target.precision not in _ELEMENT_BYTES:
        return f"{target.precision} feature maps are not forecast"
    try:
        return forecast(target.net, target.input_shape, bytes_per_element=_ELEMENT_BYTES[target.precision])
    except UnskipError as error:
        return str(error)


def _same_plan(target: Target) -> str:
    """Equal for targets whose plan is the same; an ExecuTorch file may have its own."""
    own = target.file is not None and target.file.suffix.lower() == ".pte"
    if own or target.net is None or target.net.spec is None:
        return target.label
    return json.dumps([target.net.spec.to_json(), target.precision])


def _arena(target: Target, batch_size: int) -> int | str:
    """The plan in the file itself, where one is there; else what a file of this network would have."""
    try:
        if target.file is not None and target.file.suffix.lower() == ".pte":
            planned = arena_of_file(target.file)
            if planned is not None:
                return planned
        if target.net is None:
            return _NO_NET
        if target.precision != "float32":
            return "planned for float32 only"
        net = target.net if target.file is None else copy.deepcopy(target.net).to_empty(device="cpu")
        return planned_arena(net, target.input_shape, batch_size)
    except UnskipError as error:
        return str(error)
    except Exception as error:  # ExecuTorch does not have every operation
        return f"ExecuTorch cannot plan it: {first_line(error)}"


def _row(timeline: MemoryTimeline) -> Timeline:
    operations = tuple(Operation(name=op.name, live_bytes=op.live_bytes) for op in timeline.operations)
    return Timeline(operations=operations, peak_bytes=timeline.peak_bytes, peak_at=timeline.peak_at)
