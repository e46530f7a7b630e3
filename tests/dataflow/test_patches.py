from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from unskip import make_net
from unskip.dataflow import patches
from unskip.dataflow.memory import live_elements
from unskip.dataflow.operations import Dataflow, Operation, trace
from unskip.dataflow.patches import patched
from unskip.dataflow.rewriting import fused
from unskip.dataflow.windows import Window
from unskip.edits import without_shortcuts

from .random_dataflows import dataflows


def _places(dataflow, until, wanted):
    """The places of every map that places of the last one need, the holes between them filled."""
    needed = {until: wanted}
    for index in reversed(range(until)):
        window = dataflow.operations[index].window
        for number in dataflow.operations[index].inputs:
            _, height, width = dataflow.shapes[number]
            read = set(needed.get(number, ()))
            for row, column in needed.get(index + 1, ()):
                for y in range(window.size[0]):
                    for x in range(window.size[1]):
                        at = (
                            row * window.stride[0] - window.padding[0] + y,
                            column * window.stride[1] - window.padding[1] + x,
                        )
                        if 0 <= at[0] < height and 0 <= at[1] < width:
                            read.add(at)
            rows, columns = ({place[axis] for place in read} for axis in (0, 1))
            needed[number] = (
                {(y, x) for y in range(min(rows), max(rows) + 1) for x in range(min(columns), max(columns) + 1)}
                if read
                else set()
            )
    return needed


def _patch_by_patch(dataflow, until, grid):
    """The most elements that live between the image and the map that patches make, and the MACs, place by place."""
    _, height, width = dataflow.shapes[until]
    most = macs = 0
    for i, j in product(range(grid), repeat=2):
        rows = range(height * i // grid, height * (i + 1) // grid)
        columns = range(width * j // grid, width * (j + 1) // grid)
        needed = _places(dataflow, until, set(product(rows, columns)))
        size = {number: dataflow.shapes[number][0] * len(places) for number, places in needed.items()}
        size |= {0: 0, until: 0}
        running = [index for index in range(until) if needed.get(index + 1)]  # what nobody reads is not computed
        for index in running:
            operation = dataflow.operations[index]
            made = len(needed[index + 1])
            macs += operation.macs // (dataflow.shapes[index + 1][1] * dataflow.shapes[index + 1][2]) * made
            later = [dataflow.operations[after] for after in running if after > index]
            wanted = {number for each in later for number in each.inputs if number <= index}
            held = sum(size.get(number, 0) for number in wanted.union(operation.inputs))
            done = [number for number in operation.inputs if number not in wanted]
            over = operation.elementwise and any(size.get(number, 0) == size.get(index + 1, 0) for number in done)
            most = max(most, held + (0 if over else size.get(index + 1, 0)))
    return most, macs


def _with_a_sum_that_nobody_reads():
    conv = Operation("conv", "conv", "", (0,), False, Window(), macs=36, weights=1)
    add, unread = (Operation(name, "add", "", (0, 1), True, Window()) for name in ("add", "unread"))
    return Dataflow(
        (conv, add, unread, replace(conv, inputs=(2,)), replace(conv, inputs=(4,))),
        (36,) * 6,
        ((1, 6, 6),) * 6,
        frozenset({5}),
    )


@given(dataflow=dataflows(most=6), grid=st.integers(1, 4))
@example(dataflow=_with_a_sum_that_nobody_reads(), grid=1)
@settings(max_examples=80, deadline=None)
def test_a_patch_is_what_its_places_need(dataflow, grid):
    dataflow = fused(dataflow)
    for until in patches._ends(dataflow):
        if grid <= dataflow.shapes[until][1]:
            parts = [patches._parts(dataflow, until, axis, grid) for axis in (0, 1)]
            found = patches._most_between(dataflow, until, parts), patches._macs(dataflow, until, parts)
            assert found == _patch_by_patch(dataflow, until, grid)


def test_mobilenet_as_in_the_paper():
    """A few percent more MACs for several times less memory: arXiv 2110.15352, figure 1 and section 3."""
    dataflow = trace(make_net("mobilenetv2"), (3, 224, 224))
    found = patched(dataflow)
    assert max(live_elements(dataflow)) / found.peak_elements > 4
    assert 0 < found.extra_macs < 0.1 * (found.macs - found.extra_macs)
    assert patched(dataflow, most_extra=0).peak_elements > found.peak_elements


def test_nothing_to_gain_where_the_peak_is_at_the_end():
    dataflow = trace(without_shortcuts(make_net("resnet20")), (3, 32, 32))
    found = patched(dataflow)
    assert (found.until, found.grid, found.extra_macs) == (0, 1, 0)
    assert found.peak_elements == max(live_elements(dataflow))


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3)])
@pytest.mark.parametrize("sides", [(32, 32), (32, 20)])
def test_columns_are_those_of_the_rows_only_where_all_is_square(monkeypatch, kernel, sides):
    padding = tuple(side // 2 for side in kernel)
    net = nn.Sequential(nn.Conv2d(3, 8, kernel, padding=padding), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1), nn.MaxPool2d(2))
    dataflow = trace(net, (3, *sides))
    found = patched(dataflow)
    assert found.grid > 1
    assert patches._is_square(found.dataflow) == (kernel == (3, 3) and sides == (32, 32))
    monkeypatch.setattr(patches, "_is_square", lambda dataflow: False)
    assert patched(dataflow) == found
