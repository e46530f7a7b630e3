import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unskip import make_net
from unskip.dataflow.operations import Dataflow, Operation, trace
from unskip.dataflow.rewriting import fused
from unskip.dataflow.stripes import Cascade, Stripes, striped
from unskip.dataflow.windows import Window
from unskip.edits import without_shortcuts

from .random_dataflows import dataflows


def _partitions(count):
    """Every way to cut a row of operations into runs."""
    if count == 0:
        yield ()
    for first in range(count):
        for before in _partitions(first):
            yield (*before, (first, count - 1))


def _can_be(dataflow, first, last):
    if first == last:
        return True
    for index in range(first, last + 1):
        operation = dataflow.operations[index]
        if operation.window is None:
            return False
        if operation.elementwise and len({dataflow.shapes[number] for number in (*operation.inputs, index + 1)}) > 1:
            return False
        if index > first:
            readers = [each for each, other in enumerate(dataflow.operations) if index in other.inputs]
            if readers != [index] or index in dataflow.outputs:
                return False
    return True


def _lives(dataflow, first, last, resident):
    """Elements alive: whole maps from outside that are read now or later, rows inside, and the output."""
    operations, elements = dataflow.operations, dataflow.elements
    count = 0
    for number in range(first + 1):
        readers = [index for index in range(first, len(operations)) if number in operations[index].inputs]
        count += elements[number] if readers or number in dataflow.outputs else 0
    for index in range(first + 1, last + 1):
        channels, height, width = dataflow.shapes[index]
        count += channels * min(operations[index].window.size[0], height) * width
    if resident and last > first:
        count += sum(operations[index].weights for index in range(first, last + 1))
    over = [
        number
        for number in operations[last].inputs
        if operations[last].elementwise and number <= first and elements[number] == elements[last + 1]
        if number not in dataflow.outputs
        if [i for i in range(first, len(operations)) if number in operations[i].inputs] == [last]
    ]
    return count + (0 if over else elements[last + 1])


@given(dataflow=dataflows(most=7), resident=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_cascades_need_less(dataflow, resident):
    dataflow = fused(dataflow)
    stripes = striped(dataflow, resident_weights=resident)
    peaks = [
        max(_lives(dataflow, *run, resident) for run in runs)
        for runs in _partitions(len(dataflow.operations))
        if all(_can_be(dataflow, *run) for run in runs)
    ]
    assert stripes.peak_elements == min(peaks)
    cascades = [(cascade.first, cascade.last) for cascade in stripes.cascades]
    assert cascades in [list(runs) for runs in _partitions(len(dataflow.operations))]
    assert max(_lives(dataflow, *run, resident) for run in cascades) == min(peaks)


@given(
    windows=st.lists(
        st.sampled_from([(1, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 1, 2), (7, 2, 3)]), min_size=1, max_size=4
    ),
    height=st.integers(8, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_rows_that_are_kept_are_enough(windows, height):
    """A cascade computed row by row never needs a row that a buffer of one window has dropped."""
    heights = [height]
    for size, stride, padding in windows:
        heights.append((heights[-1] + 2 * padding - size) // stride + 1)
    if min(heights) < 1:
        return
    held: list[list[int]] = [[] for _ in heights]

    def make(level, row):
        if level > 0:
            size, stride, padding = windows[level - 1]
            window = Window((size, size), (stride, stride), (padding, padding))
            first, last = window.needed(0, row, row, heights[level - 1])
            kept = held[level - 1]
            while not kept or kept[-1] < last:
                make(level - 1, kept[-1] + 1 if kept else 0)
                del kept[: max(len(kept) - min(size, heights[level - 1]), 0)]
            assert kept[0] <= first
        held[level].append(row)

    for row in range(heights[-1]):
        make(len(windows), row)
    assert held[-1] == list(range(heights[-1]))


def test_a_second_reader_ends_a_cascade():
    def conv(name, number):
        return Operation(name, "conv", name, (number,), False, Window((3, 3), (1, 1), (1, 1)))

    def dataflow(*operations):
        shapes = ((1, 8, 8), (4, 8, 8), (4, 8, 8), (1, 8, 8))
        return Dataflow(operations, (64, 256, 256, 64), shapes, frozenset({3}))

    chain = dataflow(conv("a", 0), conv("b", 1), conv("c", 2))
    assert striped(chain).cascades == (Cascade(0, 2),)
    assert striped(chain).peak_elements == 64 + 2 * 3 * 4 * 8 + 64
    forked = dataflow(conv("a", 0), conv("b", 1), Operation("join", "cat", "", (2, 1), False, Window()))
    assert list(Stripes(forked).cascades_from(0)) == [Cascade(0, 0)]
    assert striped(forked).peak_elements == 256 + 4 * 8 + 64


@pytest.mark.parametrize(("name", "most"), [("resnet18", 1.3), ("resnet50", 3.2)])
def test_shortcuts_cost_more_in_stripes(name, most):
    net = make_net(name)
    peaks = [striped(trace(each, (3, 224, 224))).peak_elements for each in (net, without_shortcuts(net))]
    assert peaks[0] / peaks[1] == pytest.approx(most, abs=0.05)
