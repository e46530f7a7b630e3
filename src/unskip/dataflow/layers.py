"""A dataflow as the layers that a neural processor runs: convolutions, poolings and additions of maps in 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from unskip.dataflow.operations import Dataflow
from unskip.dataflow.rewriting import behind_of, fused, readers_of, reordered_by
from unskip.dataflow.stripes import reads_rows
from unskip.dataflow.windows import ONE_PLACE

Kind = Literal["convolution", "depthwise", "pooling", "elementwise"]
BRICK = 16  # channels that lie together
LARGEST_STRIDE = 3


@dataclass(frozen=True)
class Map:
    """A feature map. ``linear``: channels lie side by side, not in bricks of 16, filled up where there are fewer."""

    channels: int
    height: int
    width: int
    linear: bool = False

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * (self.channels if self.linear else -(-self.channels // BRICK) * BRICK)

    @property
    def bytes(self) -> int:
        """Bytes of the map."""
        return self.height * self.row_bytes


@dataclass(frozen=True)
class Layer:
    """A layer and the maps that it reads, by their numbers; it writes the map whose number is its own plus one.

    ``depth`` are the channels that one place of the output reads; ``striped``: rows of the output can be made from rows
    of the inputs, and a compiler does so; an addition is ``activated`` where an activation follows it.
    """

    kind: Kind
    inputs: tuple[int, ...]
    source: Map
    output: Map
    kernel: tuple[int, int]
    stride: tuple[int, int]
    depth: int
    weights: int
    striped: bool
    activated: bool = False

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights in 8 bits, a little compressed, with 10 bytes for bias and scale of a channel.

        The compression is what Vela 5.1.0 gives for kernels drawn at random: 0.945, and zeros that fill up a depth of
        3.
        """
        if not self.weights:
            return 0
        filled = self.weights * (max(8 - self.depth, 0) / self.depth if self.kind == "convolution" else 0)
        return int(0.945 * self.weights + 0.217 * filled) + 10 * self.output.channels

    def input_rows(self, rows: int) -> int:
        """The rows of the input that so many rows of the output read."""
        return min((rows - 1) * self.stride[0] + self.kernel[0], self.source.height)


@dataclass(frozen=True)
class Layers:
    """Layers in order. Map 0 is the image; ``readers`` read each map, ``outputs`` are those that leave the network.

    ``dataflow`` has the same operations in the same order.
    """

    dataflow: Dataflow
    layers: tuple[Layer, ...]
    maps: tuple[Map, ...]
    readers: tuple[tuple[int, ...], ...]

    @property
    def outputs(self) -> frozenset[int]:
        """The maps that leave the network."""
        return self.dataflow.outputs

    @property
    def thinnest(self) -> tuple[int, ...]:
        """The rows of every layer's output that one row more of the next layer's needs."""
        following = [*(layer.stride[0] for layer in self.layers[1:]), 1]
        return tuple(min(rows, layer.output.height) for rows, layer in zip(following, self.layers, strict=True))


def layers_of(dataflow: Dataflow, *, image_in_bricks: bool) -> Layers:
    """The layers of a dataflow, activations in the layers that they follow."""
    activated = _activated_additions(dataflow)
    dataflow = _in_depth(fused(dataflow))
    readers = readers_of(dataflow)
    linear = [any(_slices(dataflow, index) for index in each) for each in readers]
    linear[0] = not image_in_bricks or any(_stride(dataflow, index) > LARGEST_STRIDE for index in readers[0])
    maps = [_map(shape, lies) for shape, lies in zip(dataflow.shapes, linear, strict=True)]
    layers = (
        _layer(dataflow, index, maps, activated=operation.name in activated)
        for index, operation in enumerate(dataflow.operations)
    )
    return Layers(dataflow, tuple(layers), tuple(maps), tuple(map(tuple, readers)))


def placed(dataflow: Dataflow) -> tuple[Dataflow, tuple[str, ...]]:
    """What the processor computes of a dataflow, and the names of the operations in front that it does not.

    ExecuTorch 1.5.1 leaves a padded convolution with a stride above 3 to the CPU. What comes before it goes there too;
    behind it, its output is the image.
    """
    for index in reversed(range(len(dataflow.operations))):
        window = dataflow.operations[index].window
        if window is not None and max(window.stride) > LARGEST_STRIDE and any(window.padding):
            behind = dataflow.operations[index + 1 :]
            if all(number > index for operation in behind for number in operation.inputs):
                return behind_of(dataflow, index), tuple(each.name for each in dataflow.operations[: index + 1])
    return dataflow, ()


def _layer(dataflow: Dataflow, index: int, maps: Sequence[Map], *, activated: bool) -> Layer:
    operation = dataflow.operations[index]
    source, output = maps[operation.inputs[0]], maps[index + 1]
    window = operation.window or ONE_PLACE
    kernel = window.size
    if operation.elementwise:
        kind: Kind = "elementwise"
    elif not operation.weights:
        kind = "pooling"
        if operation.window is None and output.height == output.width == 1:  # others move a map: pad, join, shuffle it
            kernel = (source.height, source.width)
    else:
        kind = "convolution"
    depth = operation.weights // (output.channels * prod(window.size)) or source.channels
    if kind == "convolution" and depth == 1 and source.channels > 1:
        kind = "depthwise"
    return Layer(
        kind,
        tuple(dict.fromkeys(operation.inputs)),
        source,
        output,
        kernel,
        window.stride,
        depth,
        operation.weights,
        reads_rows(dataflow, index) and not activated,
        activated,
    )


def _in_depth(dataflow: Dataflow) -> Dataflow:
    """The operations in the order of Vela 5.1.0: what an operand needs all at once, those of the last operand first."""
    order: list[int] = []
    waiting = [(number - 1, False) for number in sorted(dataflow.outputs)]
    while waiting:
        index, ready = waiting.pop()
        if index < 0 or index in order:
            continue
        if ready:
            order.append(index)
        else:
            waiting.append((index, True))
            waiting += [(number - 1, False) for number in dataflow.operations[index].inputs]
    return reordered_by(dataflow, order)


def _activated_additions(dataflow: Dataflow) -> set[str]:
    """Additions that an activation follows: Vela 5.1.0 makes one operation of both and keeps it out of cascades."""
    readers = readers_of(dataflow)
    return {
        operation.name
        for index, operation in enumerate(dataflow.operations)
        if operation.elementwise and len(set(operation.inputs)) > 1
        if any(dataflow.operations[reader].elementwise for reader in readers[index + 1])
    }


def _slices(dataflow: Dataflow, index: int) -> bool:
    """Whether a strided layer without padding leaves the last rows out: its input is cut first, and lies linear."""
    window = dataflow.operations[index].window
    if window is None or len(dataflow.shapes[index + 1]) != 3:
        return False
    height = dataflow.shapes[dataflow.operations[index].inputs[0]][1]
    needed = (dataflow.shapes[index + 1][1] - 1) * window.stride[0] + window.size[0]
    return not window.padding[0] and needed < height


def _stride(dataflow: Dataflow, index: int) -> int:
    window = dataflow.operations[index].window
    return 1 if window is None else max(window.stride)


def _map(shape: tuple[int, ...], linear: bool) -> Map:
    channels, height, width = (*shape, 1, 1)[:3]
    return Map(channels, height, width, linear)
