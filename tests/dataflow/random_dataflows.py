"""Small random dataflows: operations on maps of one width, with windows, branches and additions."""

from hypothesis import strategies as st

from unskip.dataflow.operations import Dataflow, Operation
from unskip.dataflow.windows import Window

_WINDOWS = st.sampled_from([(1, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0), (1, 2, 0), (5, 1, 2), None])


def _after(height: int, window: Window) -> int:
    return (height + 2 * window.padding[0] - window.size[0]) // window.stride[0] + 1


@st.composite
def dataflows(draw, most=6) -> Dataflow:
    """Dataflows of up to ``most`` operations on square maps; the last map is the network's output."""
    side, channels = draw(st.sampled_from([6, 8])), draw(st.sampled_from([1, 3]))
    shapes, operations = [(channels, side, side)], []
    for index in range(draw(st.integers(1, most))):
        name = f"op{index}"
        number = draw(st.integers(max(0, len(shapes) - 3), len(shapes) - 1))
        twins = [other for other, shape in enumerate(shapes) if shape == shapes[number] and other != number]
        if twins and draw(st.booleans()):
            inputs = (number, draw(st.sampled_from(twins)))
            operations.append(Operation(name, "add", name, inputs, True, Window()))
            shapes.append(shapes[number])
            continue
        drawn = draw(_WINDOWS)
        channels, height, _ = shapes[number]
        if drawn is None and draw(st.booleans()):
            operations.append(Operation(name, "relu", name, (number,), True, Window()))
            shapes.append(shapes[number])
            continue
        size, stride, padding = drawn or (height, 1, 0)
        window = Window((size, size), (stride, stride), (padding, padding))
        if _after(height, window) < 1:
            window = Window()
        height = _after(height, window)
        outputs = draw(st.sampled_from([1, 2, 5]))
        macs, weights = outputs * height**2 * channels * window.size[0] ** 2, outputs * channels * window.size[0] ** 2
        operations.append(
            Operation(name, "conv", name, (number,), False, None if drawn is None else window, macs, weights)
        )
        shapes.append((outputs, height, height))
    elements = tuple(channels * height * width for channels, height, width in shapes)
    return Dataflow(tuple(operations), elements, tuple(shapes), frozenset({len(shapes) - 1}))
