"""How a neural processor runs one layer: block by block of its output, and what that reads, writes and takes.

The rules are those of Arm's compiler Vela 5.1.0 for Ethos-U55 and U65, simplified: a block's input and its sums lie in
buffers of the processor, and of all blocks that fit the one is taken that reads least. Inputs are read anew for every
block, weights for every block of rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from unskip.dataflow.devices import Device
from unskip.dataflow.layers import BRICK, Layer, Map

_LARGEST = (32, 64, 128)  # rows, columns, channels of an output's block


@dataclass(frozen=True)
class Block:
    """Rows, columns and channels of a block of the output, and of what is read of the input for it at once."""

    output: tuple[int, int, int]
    source: tuple[int, int, int]


@lru_cache(maxsize=20_000)
def block_of(layer: Layer, rows: int, device: Device) -> Block:
    """The block in which a layer runs where so many rows of its output are made at once."""
    unit_rows, unit_columns, unit_channels = device.unit
    out = (min(rows, layer.output.height), layer.output.width, layer.output.channels)
    source = (layer.input_rows(out[0]), layer.source.width, layer.source.channels)
    limit = [_up(min(size, largest), unit) for size, largest, unit in zip(out, _LARGEST, device.unit, strict=True)]
    d, h, w = np.meshgrid(
        _depths(out[2], limit[2], unit_channels),
        np.arange(unit_rows, limit[0] + 1, unit_rows),
        np.arange(unit_columns, limit[1] + 1, unit_columns),
        indexing="ij",
    )
    ih, iw = (
        _up((size - 1) * stride + np.minimum(kernel, 8), unit)
        for size, stride, kernel, unit in zip((h, w), layer.stride, layer.kernel, device.unit, strict=False)
    )
    own_depth = layer.kind == "convolution"  # others read as many channels as they write
    most = 16 if part_kernel(layer, device) else 32
    depth = np.full_like(d, _up(min(source[2], most), unit_channels)) if own_depth else d
    fits = _fits(layer, device, (h, w, d), ih * iw, depth)
    counts = [-(-size // block) for size, block in zip(out, (h, w, d), strict=True)]
    shares = [size / block for size, block in zip(out, (h, w, d), strict=True)]
    read = ih * iw * source[2] * _repeats(layer) * shares[0] * shares[1] * (counts[2] if own_depth else 1)
    fetched = prod(layer.kernel) * source[2] * counts[0] * counts[1] if layer.weights else 0 * d
    if own_depth:
        fetched = fetched * shares[2] * d
    cost = (read + fetched) / prod(out) if layer.kind != "elementwise" else 1 / (h * w * d)
    cost = np.where(prod(source) < 2 * ih * iw * depth, cost / 2, cost)
    best = np.unravel_index(np.argmin(np.where(fits, cost, np.inf)), cost.shape)
    read_deep = np.minimum(depth, source[2])
    return Block(_at(best, h, w, d), _at(best, ih, iw, read_deep))


def _depths(channels: int, limit: int, unit: int) -> np.ndarray:
    """The channels of a block that come into question: whole bricks, or all."""
    least = max(unit, min(limit, BRICK))
    depths = np.arange(least, limit + 1, unit)
    return np.unique([depth if depth >= channels else _up(depth, BRICK) for depth in depths if depth <= limit])


def _at(index: tuple[np.intp, ...], *sizes: np.ndarray) -> tuple[int, int, int]:
    rows, columns, channels = (int(size[index]) for size in sizes)
    return rows, columns, channels


def _fits(
    layer: Layer, device: Device, block: Sequence[np.ndarray], places: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Which blocks lie in the processor's buffers, with their inputs twice over, so that the next ones can be read."""
    granule, sums_granule, banks = device.banks
    inputs = _up(2 * -(-(places * _up(depth, 8)) // 1024), granule)
    if layer.kind == "elementwise":
        return 2 * inputs <= banks
    sums = _up(2 * -(-(block[0] * block[1] * _up(block[2], 8) * 4) // 1024), sums_granule)
    return inputs + sums <= banks


def part_kernel(layer: Layer, device: Device) -> bool:
    """Whether the processor works through places of the kernel together, and not through channels."""
    if layer.kind != "convolution":
        return False
    places, depth = prod(layer.kernel), layer.source.channels
    if device.chains:
        return places > 1
    by_depth, by_places = depth / _up(depth, 32), depth / _up(depth, 8) * places / _up(places, 4)
    return depth <= 8 or by_places >= by_depth


def _repeats(layer: Layer) -> int:
    """How often an input is read because a kernel is larger than the processor's."""
    return prod(-(-side // 8) for side in layer.kernel)


def compute_cycles(layer: Layer, block: Block, device: Device) -> float:
    """Cycles of a layer where memories are no limit."""
    places = layer.output.height * layer.output.width
    channels = _up(layer.output.channels, BRICK)
    if layer.kind == "elementwise":
        # Vela 5.1.0 counts a whole cycle for an element that no activation follows.
        element = max(192 / device.macs_per_cycle, 0.0 if layer.activated else 1 / device.cores)
        return 0.0 if device.chains else places * channels * element
    out = (layer.output.height, layer.output.width, layer.output.channels)
    clipped = [min(size, whole) for size, whole in zip(block.output, out, strict=True)]
    units = [-(-size // unit) for size, unit in zip(clipped, device.unit, strict=True)]
    blocks = prod(-(-size // unit) for size, unit in zip(out, device.unit, strict=True)) / prod(units)
    area, depth = units[0] * units[1], units[2]
    steps = prod(layer.kernel)
    if layer.kind == "pooling":
        cycles = max(4, min(steps, 64)) * _repeats(layer) * area * depth * 4
        written = 32 / device.macs_per_cycle * prod(clipped)
    else:
        element = 64 / device.macs_per_cycle if device.chains else max(64 / device.macs_per_cycle, 1 / device.cores)
        written = element * prod(clipped)
        if layer.kind == "depthwise":
            cycles = max(32, 4 * area) * -(-steps // 4) * depth
        elif part_kernel(layer, device):
            cycles = max(32, 4 * area) * -(-steps // 4) * depth * -(-min(layer.depth, block.source[2]) // 8)
            cycles *= -(-layer.depth // block.source[2])
        else:
            cycles = max(32, 4 * area) * steps * depth * -(-layer.depth // block.source[2])
    return max(cycles / device.cores, written) * blocks


@dataclass(frozen=True)
class Traffic:
    """Bytes that a layer moves: what it reads of its inputs, what it writes, and how often it reads its weights.

    Memories move whole bursts: where little of a burst is wanted, as of an image of three channels, all of it counts.
    """

    read: float
    written: float
    weight_reads: int


def weight_reads(layer: Layer, block: Block, rows: int) -> float:
    """How often all weights are read where so many rows of the output are made at once."""
    columns = -(-layer.output.width // min(block.output[1], layer.output.width))
    return max(-(-rows // min(block.output[0], rows)) * columns * layer.output.height / rows, 1)


def traffic_of(layer: Layer, block: Block, bursts: tuple[int, int]) -> Traffic:
    """What a layer moves, from and to memories with bursts of so many bytes, the input's and the output's."""
    out = (layer.output.height, layer.output.width, layer.output.channels)
    clipped = [min(size, whole) for size, whole in zip(block.output, out, strict=True)]
    rows, columns, deep = (-(-size // part) for size, part in zip(out, clipped, strict=True))
    written = layer.output.bytes * _wasted(layer.output, block.output, bursts[1], reads=False)
    source = layer.source
    if layer.kind == "elementwise":
        read = float(layer.output.bytes)
    else:
        places = min(block.source[0], source.height) * min(block.source[1], source.width)
        channels = source.channels if source.linear else _up(source.channels, BRICK)
        again = deep if layer.kind == "convolution" else 1
        read = float(places * channels * _repeats(layer) * rows * columns * again)
    return Traffic(read * _wasted(source, block.source, bursts[0], reads=True), written, rows * columns)


def _wasted(lies: Map, block: tuple[int, int, int], burst: int, *, reads: bool) -> float:
    """How many bytes are moved for one that is wanted."""
    _, width, depth = block
    if not lies.linear:
        return burst / min(burst, BRICK * width)
    if reads:
        depth = -(-depth // 8) * 8
        return burst / min(burst, width * depth if lies.channels == depth else depth)
    return burst / min(burst, width * depth if depth <= BRICK and lies.channels == depth else min(BRICK, depth))


def _up(number, step):  # type: ignore[no-untyped-def]
    return -(-number // step) * step
