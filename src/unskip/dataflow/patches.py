"""Feature maps where the first operations run patch by patch (MCUNetV2, Lin et al. 2021, arXiv 2110.15352)."""

from __future__ import annotations

from dataclasses import dataclass

from unskip.dataflow.memory import live_elements
from unskip.dataflow.operations import Dataflow
from unskip.dataflow.rewriting import fused
from unskip.dataflow.stripes import reads_rows

_GRIDS = (2, 3, 4, 5, 6, 7, 8)
Lengths = tuple[int, ...]


@dataclass(frozen=True)
class Patched:
    """The first operations, ``until`` of them, run once for each of ``grid`` x ``grid`` patches of what they make.

    ``peak_elements`` live at most, then and later. ``macs`` are all that are computed, and ``extra_macs`` those of them
    that neighbouring patches compute again. Where patches lower nothing, ``until`` is 0 and ``grid`` 1. Places are
    those of the operations of ``dataflow``.
    """

    dataflow: Dataflow
    until: int
    grid: int
    peak_elements: int
    macs: int
    extra_macs: int


def patched(dataflow: Dataflow, *, most_extra: float = 0.1) -> Patched:
    """The patches with the lowest peak of elements of feature maps, and of those the ones with the fewest extra MACs.

    While patches run, the image is whole and so is the map that they make; of the maps between lives, operation by
    operation, what a patch needs, shortcuts included. Then the other operations run one by one on whole maps. Patches
    may end wherever all goes on through one map; grids have up to 8 x 8 of them. ``most_extra`` is the largest share of
    the network's MACs that may be computed again.
    """
    dataflow = fused(dataflow)
    own = sum(operation.macs for operation in dataflow.operations)
    square = _is_square(dataflow)
    live = live_elements(dataflow)
    best = Patched(dataflow, 0, 1, max(live), own, 0)
    for until in _ends(dataflow):
        later = max(live[until:])
        whole = dataflow.elements[0] + dataflow.elements[until]
        for grid in _GRIDS:
            if grid > min(dataflow.shapes[until][1:]) or max(later, whole) > best.peak_elements:
                break
            rows = _parts(dataflow, until, 0, grid)
            parts = [rows, rows if square else _parts(dataflow, until, 1, grid)]
            extra = _macs(dataflow, until, parts) - sum(each.macs for each in dataflow.operations[:until])
            if extra > most_extra * own:
                break
            peak = max(later, whole + _most_between(dataflow, until, parts))
            if (peak, extra) < (best.peak_elements, best.extra_macs):
                best = Patched(dataflow, until, grid, peak, own + extra, extra)
    return best


def _is_square(dataflow: Dataflow) -> bool:
    """Whether columns are read as rows are, everywhere."""
    sides = [shape[1:] for shape in dataflow.shapes if len(shape) == 3]
    windows = [operation.window for operation in dataflow.operations if operation.window is not None]
    pairs = [*sides, *(pair for each in windows for pair in (each.size, each.stride, each.padding))]
    return all(height == width for height, width in pairs)


def _ends(dataflow: Dataflow) -> list[int]:
    """Every number of first operations that can run by patches and leave one map to go on with."""
    ends = []
    last_read = {number: index for index, each in enumerate(dataflow.operations) for number in each.inputs}
    for until in range(1, len(dataflow.operations)):
        if not reads_rows(dataflow, until - 1):
            break
        if not any(last_read.get(number, -1) >= until or number in dataflow.outputs for number in range(until)):
            ends.append(until)
    return ends


def _parts(dataflow: Dataflow, until: int, axis: int, grid: int) -> list[Lengths]:
    """For each part of the last map's side, the length along it that is needed of every map, in order."""
    side = dataflow.shapes[until][1 + axis]
    edges = [side * index // grid for index in range(grid + 1)]
    return [_lengths(dataflow, until, axis, (edges[part], edges[part + 1] - 1)) for part in range(grid)]


def _lengths(dataflow: Dataflow, until: int, axis: int, last_rows: tuple[int, int]) -> Lengths:
    needed = {until: last_rows}
    for index in reversed(range(until)):
        operation = dataflow.operations[index]
        if index + 1 not in needed:
            continue  # nobody reads it
        assert operation.window is not None
        for number in operation.inputs:
            first, last = operation.window.needed(axis, *needed[index + 1], dataflow.shapes[number][1 + axis])
            known = needed.get(number, (first, last))
            needed[number] = (min(first, known[0]), max(last, known[1]))
    ends = (needed.get(number, (0, -1)) for number in range(until + 1))
    return tuple(last - first + 1 for first, last in ends)


def _macs(dataflow: Dataflow, until: int, parts: list[list[Lengths]]) -> int:
    """The MACs of all patches: each row of them as long as the other, so that sums over the sides can be multiplied."""
    macs = 0
    for index, operation in enumerate(dataflow.operations[:until]):
        _, height, width = dataflow.shapes[index + 1]
        rows, columns = (sum(lengths[index + 1] for lengths in side) for side in parts)
        macs += operation.macs * rows * columns // (height * width)
    return macs


def _most_between(dataflow: Dataflow, until: int, parts: list[list[Lengths]]) -> int:
    """The most elements that live of the maps between the image and the map that the patches make."""
    most = 0
    for rows in set(parts[0]):
        for columns in set(parts[1]):
            sizes = [dataflow.shapes[number][0] * rows[number] * columns[number] for number in range(1, until)]
            elements = (0, *sizes, 0)
            patch = Dataflow(dataflow.operations[:until], elements, dataflow.shapes[: until + 1], frozenset({until}))
            most = max(most, *live_elements(patch))
    return most
