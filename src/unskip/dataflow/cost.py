"""What a network costs on a device, estimated without its compiler: to put candidates in order, not to be quoted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from unskip.dataflow.blocks import block_of, compute_cycles, traffic_of
from unskip.dataflow.cascades import Cascades, Run
from unskip.dataflow.devices import Device, Memory, device_named
from unskip.dataflow.layers import Layers, layers_of, placed
from unskip.dataflow.operations import Dataflow, trace
from unskip.dataflow.placement import Buffer, buffers_of, kept_maps, never_kept, places_of
from unskip.dataflow.stripes import striped

Optimise = Literal["speed", "size"]


@dataclass(frozen=True)
class Cost:
    """Cycles for one image, SRAM in bytes, and bytes of feature maps to and from the memory behind the SRAM.

    Operations ``left_out`` are computed by the CPU beside the device, as the compiler places none of them; they are in
    no figure. ``key`` puts networks in order, the cheapest first: fewest operations left out, then by the cycles where
    feature maps go to a memory behind the SRAM, by the SRAM and then the cycles where they do not.
    """

    cycles: int
    sram_bytes: int
    traffic_bytes: int
    left_out: tuple[str, ...]
    key: tuple[int, ...]


def estimated_cost(
    net: nn.Module, input_shape: tuple[int, int, int], device: Device | str, *, optimise: Optimise = "speed"
) -> Cost:
    """What a network in 8 bits costs on a device, for one image of ``(channels, height, width)``.

    ``device`` is one, or the name of one (see `device_named`). ``optimise`` is what the compiler is asked for, on a
    device whose feature maps live in the SRAM alone: with ``size`` layers run in stripes, each of which reads the
    weights anew. Raises `UnskipError` when the network cannot be traced or there is no such device.
    """
    device = device_named(device) if isinstance(device, str) else device
    return cost_of(trace(net, input_shape), device, optimise=optimise)


def cost_of(dataflow: Dataflow, device: Device, *, optimise: Optimise = "speed") -> Cost:
    """What a dataflow costs on a device; see `estimated_cost`."""
    dataflow, left_out = (dataflow, ()) if device.chains else placed(dataflow)
    layers = layers_of(dataflow, image_in_bricks=device.chains)
    plan = _spilling(layers, device) if device.spills else _in_sram(layers, device, optimise)
    cycles, traffic = _image_cycles(layers, device), 0.0
    for run in plan.runs:
        for place in range(run.last - run.first + 1):
            took, moved = _of_layer(plan, run, place)
            cycles, traffic = cycles + took, traffic + moved
    sram = max(_held(plan))
    key = (len(left_out), int(cycles)) if device.spills else (len(left_out), sram, int(cycles))
    return Cost(int(cycles), sram, int(traffic), left_out, key)


@dataclass(frozen=True)
class _Plan:
    """How the layers of a network run on a device; ``kept_maps`` are the maps that lie whole in its SRAM."""

    layers: Layers
    device: Device
    runs: list[Run]
    buffers: list[Buffer]
    kept_maps: frozenset[int]

    def memory_of(self, map_: int, *, inside: bool) -> Memory:
        """The memory in which a map lies; ``inside`` of a cascade it is rows of it, in the SRAM."""
        behind = self.device.behind
        return self.device.sram if inside or map_ in self.kept_maps or behind is None else behind

    def weights_in(self, run: Run) -> int:
        """Bytes of weights in the SRAM."""
        return sum(self.buffers[index].bytes for index in range(run.first, run.last + 1))


def _spilling(layers: Layers, device: Device) -> _Plan:
    """The plan for a device that sends maps to the memory behind: cascades, then weights, then maps fill the SRAM."""
    runs = Cascades(layers, device).runs()
    buffers = buffers_of(layers, runs, device, [device.sram_bytes - run.kept_bytes for run in runs])
    plan = _Plan(layers, device, runs, buffers, frozenset())
    room = [device.sram_bytes - run.kept_bytes - plan.weights_in(run) for run in runs]
    return replace(plan, kept_maps=kept_maps(layers, runs, room, device))


def _in_sram(layers: Layers, device: Device, optimise: Optimise) -> _Plan:
    """The plan for a device whose maps live in the SRAM; for size, in the stripes that need the least of it."""
    runs = [Run(index, index, (layer.output.height,)) for index, layer in enumerate(layers.layers)]
    plan = _Plan(layers, device, runs, [Buffer()] * len(layers.layers), frozenset(range(len(layers.maps))))
    limit = device.sram_bytes
    if optimise == "size":
        cascades = Cascades(layers, device)
        least = [
            cascades.grown(Run(each.first, each.last, ()), 0) if each.last > each.first else runs[each.first]
            for each in striped(_in_bricks(layers), windows_kept=2).cascades
        ]
        held = _held(replace(plan, runs=least))
        limit = max(held)
        runs = [
            cascades.grown(run, limit - whole + run.kept_bytes) if run.last > run.first else run
            for run, whole in zip(least, held, strict=True)
        ]
        plan = replace(plan, runs=runs)
    return replace(plan, buffers=buffers_of(layers, runs, device, [limit - held for held in _held(plan)]))


def _in_bricks(layers: Layers) -> Dataflow:
    """The dataflow with maps as large as they lie in memory."""
    shapes = tuple((map_.row_bytes // map_.width, map_.height, map_.width) for map_ in layers.maps)
    return replace(layers.dataflow, elements=tuple(map_.bytes for map_ in layers.maps), shapes=shapes)


def _held(plan: _Plan) -> list[int]:
    """Bytes in the SRAM during each run."""
    behind = never_kept(plan.layers, plan.runs) if plan.device.spills else ()
    places = [place for place in places_of(plan.layers, plan.runs, behind) if plan.kept_maps.issuperset(place.maps)]
    return [
        run.kept_bytes
        + plan.weights_in(run)
        + sum(place.bytes for place in places if place.start <= number <= place.end)
        for number, run in enumerate(plan.runs)
    ]


def _image_cycles(layers: Layers, device: Device) -> float:
    """Cycles to turn an image of PyTorch's, channel behind channel, into one that the device reads."""
    image = layers.maps[0]
    size = image.channels * image.height * image.width
    # Twice over; from the memory behind in bursts of which an eighth, then a quarter is wanted.
    return 12 * size / device.behind.bandwidth if device.spills and device.behind else 0.75 * size


def _of_layer(plan: _Plan, run: Run, place: int) -> tuple[float, float]:
    """The cycles of a layer, and the bytes of feature maps that it moves to and from the memory behind the SRAM."""
    index = run.first + place
    layer, device, buffer = plan.layers.layers[index], plan.device, plan.buffers[index]
    block = block_of(layer, run.rows[place], device)
    output = plan.memory_of(index + 1, inside=index < run.last)
    behind = device.behind or device.sram
    maps = dict.fromkeys((device.sram, behind), 0.0)
    again = 0
    for number, map_ in enumerate(layer.inputs):
        source = plan.memory_of(map_, inside=place > 0 and number == 0)
        traffic = traffic_of(replace(layer, source=plan.layers.maps[map_]), block, (source.burst, output.burst))
        maps[source] += traffic.read
        maps[output] += traffic.written if number == 0 else 0
        again = traffic.weight_reads
    moved = dict(maps)
    if layer.weights:
        moved[behind] += 10 * layer.output.channels * again + layer.weight_bytes * (1 if buffer.parts else again)
        moved[device.sram] += layer.weight_bytes * (1 + again) if buffer.parts else 0
    computed = compute_cycles(layer, block, device) + buffer.wait
    spilt = maps[behind] if device.spills else 0.0
    return max(computed, *(size / memory.bandwidth for memory, size in moved.items())), spilt
