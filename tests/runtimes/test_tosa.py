"""The integers that are computed here are those of Arm's reference model, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unskip.errors import UnskipError

pytest.importorskip("tosa_reference_model")

from unskip.quiet import quiet
from unskip.runtimes._tosa import Interpreter, UnknownOperationError
from unskip.runtimes.ethos_u import _ReferenceModel

from .tosa_writing import BOOL, INT32, NO_NAN, GraphWriter, ts

SIDES = st.integers(1, 6)
ZEROS = st.integers(-128, 127)
few = settings(max_examples=25, deadline=None)


def agree(graph, shape, random, *, times=3):
    images = random.integers(-128, 128, (times, *shape)).astype(np.int8)
    images[-1] = 127
    fast = Interpreter(graph)(images)
    with quiet():
        right = _ReferenceModel(graph)(images)
    assert len(fast) == len(right)
    for one, other in zip(fast, right, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other.reshape(one.shape))
    return fast


@st.composite
def seeds(draw):
    return np.random.default_rng(draw(st.integers(0, 2**32)))


def side(size, kernel, stride, before, after, dilation=1):
    """How long a side is after windows went along it, and what to add behind so that they fit."""
    span = (kernel - 1) * dilation + 1
    after += -(size + before + after - span) % stride
    return (size + before + after - span) // stride + 1, after


@few
@given(random=seeds(), size=st.integers(3, 7), stride=st.integers(1, 3), dilation=st.integers(1, 2), zero=ZEROS)
@pytest.mark.parametrize("name", ["CONV2D", "DEPTHWISE_CONV2D"])
def test_convolutions(name, random, size, stride, dilation, zero):
    batch, channels, to = random.integers(1, 4, 3)
    kernel = random.integers(1, 3, 2)
    before, after = random.integers(0, 2, (2, 2))
    sides = [side(size, kernel[axis], stride, before[axis], after[axis], dilation) for axis in (0, 1)]
    shape = (batch, size, size, channels)
    weight = (to, *kernel, channels) if name == "CONV2D" else (*kernel, channels, to)
    outputs = to if name == "CONV2D" else channels * to
    graph = GraphWriter(shape)
    graph.convolution(
        (batch, sides[0][0], sides[1][0], outputs),
        random.integers(-127, 128, weight),
        random.integers(-(2**20), 2**20, outputs),
        zero,
        name=name,
        pad=[int(each) for each in (before[0], sides[0][1], before[1], sides[1][1])],
        stride=(stride, stride),
        dilation=(dilation, dilation),
    )
    agree(graph.written(), shape, random)


@few
@given(random=seeds(), size=SIDES, stride=st.integers(1, 3), zero=ZEROS)
def test_transposed_convolutions(random, size, stride, zero):
    kernel, channels, to = (int(each) for each in random.integers(1, 4, 3))
    around = [int(each) for each in random.integers(max(-1, 1 - kernel), 3, 4)]
    full = (size - 1) * stride + kernel
    around[1::2] = (max(after, 1 - full - before) for before, after in zip(around[::2], around[1::2], strict=True))
    shape = (1, size, size, channels)
    graph = GraphWriter(shape)
    graph.convolution(
        (1, full + sum(around[:2]), full + sum(around[2:]), to),
        random.integers(-127, 128, (to, kernel, kernel, channels)),
        random.integers(-999, 999, to),
        zero,
        name="TRANSPOSE_CONV2D",
        pad=around,
        stride=(stride, stride),
    )
    agree(graph.written(), shape, random)


@pytest.mark.parametrize("bias", [0, 2**25])
@pytest.mark.parametrize(("name", "channels"), [("CONV2D", 700), ("CONV2D", 3), ("DEPTHWISE_CONV2D", 3)])
def test_sums_that_float32_does_not_hold(name, channels, bias):
    random = np.random.default_rng(0)
    shape, kernel = (1, 24, 24, channels), 1 if channels == 700 else 24
    weight = (4, kernel, kernel, channels) if name == "CONV2D" else (kernel, kernel, channels, 1)
    graph = GraphWriter(shape)
    size = 25 - kernel
    outputs = 4 if name == "CONV2D" else channels
    sums = graph.convolution(
        (1, size, size, outputs), random.integers(120, 128, weight), np.full(outputs, bias + 1), -128, name=name
    )
    (result,) = agree(graph.written(sums), shape, random)
    assert abs(result).max() > 2**24


@st.composite
def scales(draw, count):
    """Multipliers of 31 bits with shifts, as compilers write scales, odd ones and extreme ones among them."""
    pairs = [
        (
            draw(st.integers(2**30, 2**31 - 1) | st.sampled_from([2**30, 2**31 - 1, 2**30 + 1])),
            draw(st.integers(30, 62)),
        )
        for _ in range(count)
    ]
    return tuple(zip(*pairs, strict=True))


@settings(max_examples=60, deadline=None)
@given(random=seeds(), scale=scales(4), zero=ZEROS, each=st.booleans(), double=st.booleans(), wide=st.booleans())
def test_rescaled_sums(random, scale, zero, each, double, wide):
    """Of ties too: a power of two as the multiplier puts half of the sums in the middle between two integers."""
    shape = (1, 3, 5, 6)
    graph = GraphWriter(shape)
    weight = random.integers(-127, 128, (4, 1, 1, 6))
    bias = random.integers(-(2**28 if wide else 2**14), 2**28 if wide else 2**14, 4)
    sums = graph.convolution((1, 3, 5, 4), weight, bias, zero)
    rounding = ts.RoundingMode.DOUBLE_ROUND if double else ts.RoundingMode.SINGLE_ROUND
    multiplier, shift = scale if each else (scale[0][0], scale[1][0])
    graph.rescale(sums, (1, 3, 5, 4), multiplier, shift, (0, zero), rounding=rounding)
    agree(graph.written(), shape, random)


@settings(max_examples=40, deadline=None)
@given(random=seeds(), scale=scales(1), zeros=st.tuples(ZEROS, ZEROS), lower=st.integers(0, 20))
def test_rescaled_bytes_and_their_sum(random, scale, zeros, lower):
    shape = (2, 3, 2, 3)
    graph = GraphWriter(shape)
    shift = max(11, scale[1][0] - 32 + lower)
    one = graph.rescale(graph.input, shape, scale[0][0], shift, (zeros[0], 0), kinds=(np.int8, np.int32))
    other = graph.rescale(graph.input, shape, 2**30, 11, (zeros[1], 0), kinds=(np.int8, np.int32))
    sums = graph.add("ADD", [one, other], shape, kind=INT32)
    back = graph.rescale(sums, shape, scale[0][0], scale[1][0], (0, zeros[0]))
    agree(graph.written(one, sums, back), shape, random)


@pytest.mark.parametrize("size", [(1, 1), (5, 7)])
def test_pools(size):
    random = np.random.default_rng(1)
    for kernel, stride, pad in [((2, 2), 2, 0), ((3, 3), 2, 1), ((3, 2), 1, 1), (size, 1, 0)]:
        if any(window > length + 2 * pad for window, length in zip(kernel, size, strict=True)):
            continue
        ends = [side(length, window, stride, pad, pad) for length, window in zip(size, kernel, strict=True)]
        around = [pad, ends[0][1], pad, ends[1][1]]
        if any(each >= window for each, window in zip(around, (*kernel[:1] * 2, *kernel[1:] * 2), strict=True)):
            continue
        shape, to = (2, *size, 5), (2, ends[0][0], ends[1][0], 5)
        for zeros in [(0, 0), (-128, -128), (7, -3)]:
            graph = GraphWriter(shape)
            known = [graph.constant([zero], np.int8) for zero in zeros]
            window = [list(kernel), [stride, stride], around]
            average = graph.add("AVG_POOL2D", [graph.input, *known], to, *window, INT32)
            largest = graph.add("MAX_POOL2D", [graph.input], to, *window, NO_NAN)
            agree(graph.written(average, largest), shape, random)


@few
@given(random=seeds(), size=SIDES, up=st.integers(1, 4), nearest=st.booleans())
def test_resizes(random, size, up, nearest):
    """Twice as large and so on, as a half-pixel rule or one of corners asks for it."""
    shape, to = (1, size, size + 1, 2), (1, size * up, (size + 1) * up, 2)
    graph = GraphWriter(shape)
    known = graph.sizes(2 * up, 2, 2 * up, 2), graph.sizes(1 - up, 1 - up), graph.sizes(up - 1, up - 1)
    mode = ts.ResizeMode.NEAREST if nearest else ts.ResizeMode.BILINEAR
    kind = {} if nearest else {"kind": INT32}
    graph.add("RESIZE", [graph.input, *known], to, mode, **kind)
    agree(graph.written(), shape, random)


@few
@given(random=seeds(), zeros=st.tuples(ZEROS, ZEROS))
def test_products_and_elements(random, zeros):
    shape = (2, 3, 4)
    graph = GraphWriter(shape)
    known = [graph.constant([zero], np.int8) for zero in zeros]
    square = graph.add("TRANSPOSE", [graph.input], (2, 4, 3), [0, 2, 1])
    wide, once = graph.widened(graph.input, shape), graph.constant(random.integers(-99, 99, (1, 1, 4)))
    outputs = [
        graph.add("MATMUL", [graph.input, square, *known], (2, 3, 3), kind=INT32),
        graph.add("MUL", [wide, once, graph.constant([0], np.int8)], shape, kind=INT32),
        graph.add("MUL", [wide, once, graph.constant([3], np.int8)], shape, kind=INT32),
        graph.add("SUB", [once, wide], shape, kind=INT32),
        graph.add("MAXIMUM", [wide, once], shape, NO_NAN, kind=INT32),
        graph.add("MINIMUM", [wide, once], shape, NO_NAN, kind=INT32),
        graph.add("ABS", [wide], shape, kind=INT32),
        graph.add("NEGATE", [graph.input, *known], shape),
        graph.add("SELECT", [graph.add("GREATER", [wide, once], shape, kind=BOOL), wide, once], shape, kind=INT32),
        graph.add("REDUCE_SUM", [wide], (2, 1, 4), 1, kind=INT32),
        graph.add("REDUCE_MAX", [graph.input], (2, 3, 1), 2, NO_NAN),
        graph.add("ARGMAX", [graph.input], (2, 3), 2, NO_NAN, kind=INT32),
        graph.add("TABLE", [graph.input, graph.constant(random.integers(-128, 128, 256), np.int8)], shape),
    ]
    agree(graph.written(*outputs), shape, random)


@few
@given(random=seeds(), low=st.integers(-128, 127), high=st.integers(-128, 127))
def test_clamps_and_moves(random, low, high):
    shape = (2, 3, 4)
    low, high = sorted((low, high))
    graph = GraphWriter(shape)
    padded = [graph.sizes(0, 0, 1, 2, 0, 1), graph.constant([low], np.int8)]
    constant = graph.constant(random.integers(-128, 128, shape), np.int8)
    outputs = [
        graph.add("CLAMP", [graph.input], shape, [low & 255], [high & 255], NO_NAN),
        graph.add("IDENTITY", [graph.input], shape),
        graph.add("RESHAPE", [graph.input, graph.sizes(3, 8)], (3, 8)),
        graph.add("REVERSE", [graph.input], shape, 1),
        graph.add("TILE", [graph.input, graph.sizes(1, 2, 1)], (2, 6, 4)),
        graph.add("SLICE", [graph.input, graph.sizes(1, 0, 2), graph.sizes(1, 3, 2)], (1, 3, 2)),
        graph.add("PAD", [graph.input, *padded], (2, 6, 5)),
        graph.add("CONCAT", [graph.input, constant, graph.input], (2, 9, 4), 1),
    ]
    agree(graph.written(*outputs), shape, random)


def test_tables_of_16_bits():
    shape = (1, 300)
    graph, random = GraphWriter(shape), np.random.default_rng(2)
    wide = graph.rescale(graph.input, shape, 2**30, 23, (3, 0), kinds=(np.int8, np.int16))
    steps = random.integers(-60, 61, 513).cumsum()
    graph.add("TABLE", [wide, graph.constant(steps, np.int16)], shape, kind=INT32)
    agree(graph.written(), shape, random)


def test_batches_of_a_graph_are_runs_of_it():
    random, shape = np.random.default_rng(3), (2, 5, 5, 3)
    graph = GraphWriter(shape)
    graph.convolution((2, 5, 5, 4), random.integers(-127, 128, (4, 1, 1, 3)), np.zeros(4), -7)
    run, images = Interpreter(graph.written()), random.integers(-128, 128, (9, *shape)).astype(np.int8)
    (together,) = run(images)
    assert together.shape == (9, 2, 5, 5, 4)
    np.testing.assert_array_equal(together, np.concatenate([run(images[:1])[0], run(images[1:])[0]]))


def test_other_operations_are_left_to_the_reference_model():
    graph = GraphWriter((1, 4))
    graph.add("BITWISE_NOT", [graph.input], (1, 4))
    with pytest.raises(UnknownOperationError, match="BITWISE_NOT"):
        Interpreter(graph.written())
    graph = GraphWriter((1, 4))
    graph.rescale(graph.input, (1, 4), 2**30, 2, kinds=(np.int8, np.int32))  # the numbers times 2**28
    with pytest.raises(UnknownOperationError, match="overflow"):
        Interpreter(graph.written())


@pytest.mark.parametrize("data", [b"", b"no graph", bytes(64)])
def test_other_bytes_are_no_graph(data):
    with pytest.raises(UnskipError, match="no TOSA graph"):
        Interpreter(data)
