"""Which weights and which feature maps find room in the SRAM of a device; the rules of Vela 5.1.0, simplified."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from unskip.dataflow.blocks import Block, block_of, compute_cycles, traffic_of, weight_reads
from unskip.dataflow.cascades import Run
from unskip.dataflow.devices import Device, Memory
from unskip.dataflow.layers import BRICK, Layer, Layers

_MOST_CHOICES = 256
_ALWAYS = float(1 << 40)  # worth more than whatever a map moves


@dataclass(frozen=True)
class Buffer:
    """Bytes of a layer's weights in the SRAM, in one or two parts, and the cycles for which it waits for them."""

    parts: tuple[int, ...] = ()
    wait: float = 0

    @property
    def bytes(self) -> int:
        """All of them."""
        return sum(self.parts)


@dataclass(frozen=True)
class Place:
    """Maps that lie in one place, one after the other, from run ``start`` to run ``end``; -1 is before the first."""

    maps: tuple[int, ...]
    bytes: int
    start: int
    end: int


def places_of(layers: Layers, runs: Sequence[Run], behind: Collection[int] = ()) -> list[Place]:
    """The places of all maps that exist whole, those that lie ``behind`` the SRAM left out.

    An addition writes over an operand.
    """
    run_of = _run_of(runs)
    elsewhere = {index + 1 for run in runs for index in range(run.first, run.last)}.union(behind)
    together: dict[int, list[int]] = {}
    place: dict[int, int] = {}
    for map_ in range(len(layers.maps)):
        if map_ in elsewhere:
            continue
        place[map_] = map_
        if map_ and layers.layers[map_ - 1].kind == "elementwise":
            run, operands = runs[run_of[map_ - 1]], (each for each in layers.layers[map_ - 1].inputs if each in place)
            over = next((each for each in operands if _written_over(layers, run, each, map_)), map_)
            place[map_] = place[over]
        together.setdefault(place[map_], []).append(map_)
    end = len(runs)
    return [
        Place(
            tuple(maps),
            max(layers.maps[map_].bytes for map_ in maps),
            min(run_of[map_ - 1] if map_ else -1 for map_ in maps),
            max(end if map_ in layers.outputs else _last_read(layers, run_of, map_) for map_ in maps),
        )
        for maps in together.values()
    ]


def _written_over(layers: Layers, run: Run, operand: int, map_: int) -> bool:
    """Whether nothing but the layer that writes ``map_`` reads an operand of its size in this run or later."""
    readers = [reader for reader in layers.readers[operand] if reader >= run.first]
    same = layers.maps[operand].bytes == layers.maps[map_].bytes
    return same and readers == [map_ - 1] and operand not in layers.outputs


def _run_of(runs: Sequence[Run]) -> dict[int, int]:
    return {index: number for number, run in enumerate(runs) for index in range(run.first, run.last + 1)}


def _last_read(layers: Layers, run_of: Mapping[int, int], map_: int) -> int:
    return max((run_of[reader] for reader in layers.readers[map_]), default=run_of.get(map_ - 1, -1))


def buffers_of(layers: Layers, runs: Sequence[Run], device: Device, room_in: Sequence[int]) -> list[Buffer]:
    """The buffer of every layer's weights, with so much room in every run: there is one where it makes nothing slower.

    Weights come in while the layer before is computed, if they fit beside what that one holds. A layer alone can take
    them in slices of its output's channels, two of them at a time.
    """
    if device.behind is None:
        return [Buffer()] * len(layers.layers)
    buffers: list[Buffer] = []
    before, free = float("inf"), device.sram_bytes  # cycles of the layer before, and what it leaves of the SRAM
    for run, room in zip(runs, room_in, strict=True):
        room_left = room
        for place, index in enumerate(range(run.first, run.last + 1)):
            layer, rows = layers.layers[index], run.rows[place]
            thinnest = run.last > run.first and run.rows == layers.thinnest[run.first : run.last + 1]
            if thinnest and device.spills:
                buffer = Buffer((run.buffered[place],) if run.buffered[place] else ())
            else:
                before = before if place == 0 else 0.0
                alone = run.last == run.first
                buffer = _buffer(layer, rows, device, before, free, room_left, behind=device.behind, alone=alone)
            buffers.append(buffer)
            room_left -= buffer.bytes
            before = compute_cycles(layer, block_of(layer, rows, device), device)
            free = room_left + buffer.bytes - (buffer.parts[-1] if buffer.parts else 0)
    return buffers


def _buffer(
    layer: Layer, rows: int, device: Device, before: float, free: int, room: int, *, behind: Memory, alone: bool
) -> Buffer:
    if not layer.weights:
        return Buffer()
    block = block_of(layer, rows, device)
    size, computed, again = layer.weight_bytes, compute_cycles(layer, block, device), weight_reads(layer, block, rows)
    transfer = behind.cycles(size)
    parts: tuple[int, ...] = (size,)
    if alone:
        parts = _slices(layer, computed, block.output[2], transfer, min(before / transfer, 1), room)
    if sum(parts) > room:
        return Buffer()
    first = parts[0] / size * transfer
    wait = max(first - (before if parts[0] < free else 0), 0.0)
    if len(parts) > 1:
        wait += max(transfer - first - computed, 0.0)
    now, then = transfer * again, device.sram.cycles(size) * again
    both_fit = layer.source.bytes + sum(parts) <= room
    inputs = _input_cycles(layer, block, device.sram if both_fit or not device.spills else behind)
    old, new = max(computed, now, inputs), max(computed + wait, then, inputs)
    if old < new - (wait if computed > now and wait < 1000 else 0) or (again == 1 and transfer + then > old):
        return Buffer()
    if alone and not both_fit and device.spills and layer.source.bytes < free:
        instead = max(computed, now, _input_cycles(layer, block, device.sram))
        if instead < min(new, inputs):
            return Buffer()  # the room serves the input better
    return Buffer(parts, wait)


def _slices(layer: Layer, computed: float, deep: int, transfer: float, hidden: float, room: int) -> tuple[int, ...]:
    """The bytes of the weights in one piece, or those of the first slice and of the largest of the others."""
    channels, size = layer.output.channels, layer.weight_bytes
    least = min(BRICK / channels, 1.0)
    share = 1.0 if 1 - int(hidden / least) * least < least / 2 else hidden
    share = min(max(share, least), room / 2 / size)
    if share >= 1:
        return (size,)
    first = max(int(channels * share) // BRICK * BRICK, BRICK)
    following = min(max(first * computed / transfer, BRICK), room / 2 / size * channels)
    step = deep if following > deep else BRICK
    following = min(max(following // step * step, BRICK), channels - first)
    return tuple(int(number / channels * size) for number in (first, following) if number > 0)


def _input_cycles(layer: Layer, block: Block, memory: Memory) -> float:
    return traffic_of(layer, block, (1, 1)).read / memory.bandwidth


def kept_maps(layers: Layers, runs: Sequence[Run], room_in: Sequence[int], device: Device) -> frozenset[int]:
    """The maps that lie whole in the SRAM: of all that could, those whose reads and writes move most.

    What the last layer of a cascade writes is not among them, nor what leaves the network. By going through the runs
    in order with every choice of the maps that are alive: exact where these are never more than some hundreds, which
    takes a dense network.
    """
    places = places_of(layers, runs, never_kept(layers, runs))
    worth = [sum(_moved(layers, runs, map_, device) for map_ in place.maps) for place in places]
    best: dict[frozenset[int], tuple[float, frozenset[int]]] = {frozenset(): (0.0, frozenset())}
    for number in range(-1, len(runs)):
        room = device.sram_bytes if number < 0 else room_in[number]
        begin = [index for index, place in enumerate(places) if place.start == number]
        following: dict[frozenset[int], tuple[float, frozenset[int]]] = {}
        for alive, (score, chosen) in best.items():
            choices = [(alive, score, chosen)]
            for index in begin:
                choices += [(a | {index}, s + worth[index], k | {index}) for a, s, k in choices]
            for a, s, k in choices:
                if sum(places[index].bytes for index in a) <= max(room, 0):
                    after = frozenset(index for index in a if places[index].end > number)
                    if after not in following or s > following[after][0]:
                        following[after] = (s, k)
        ranked = sorted(following.items(), key=lambda each: -each[1][0])
        emptiest = min(ranked, key=lambda each: len(each[0]))  # fits whatever comes
        best = dict([*ranked[:_MOST_CHOICES], emptiest])
    _, chosen = max(best.values(), key=lambda each: each[0])
    return _together(layers, runs, frozenset(map_ for index in chosen for map_ in places[index].maps))


def never_kept(layers: Layers, runs: Sequence[Run]) -> set[int]:
    """What cascades write, and what leaves the network: on a device that spills, these lie behind the SRAM."""
    return {run.last + 1 for run in runs if run.last > run.first} | layers.outputs


def _moved(layers: Layers, runs: Sequence[Run], map_: int, device: Device) -> float:
    """Bytes of a map that are written and read."""
    moved, run_of = float(layers.maps[map_].bytes), _run_of(runs)
    for reader in layers.readers[map_]:
        layer, run = layers.layers[reader], runs[run_of[reader]]
        if reader > run.first:
            return _ALWAYS  # the other operand of an addition inside of a cascade
        moved += traffic_of(layer, block_of(layer, run.rows[0], device), (1, 1)).read
    return moved


def _together(layers: Layers, runs: Sequence[Run], maps: frozenset[int]) -> frozenset[int]:
    """Without the operands of additions whose other operand lies behind."""
    for run in runs:
        inputs = layers.layers[run.first].inputs
        if len(inputs) > 1 and not maps.issuperset(inputs):
            maps = maps.difference(inputs)
    return maps
