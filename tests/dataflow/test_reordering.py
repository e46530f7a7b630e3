from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from unskip import make_net
from unskip.dataflow.memory import live_elements
from unskip.dataflow.operations import Dataflow, Operation, trace
from unskip.dataflow.reordering import reordered
from unskip.dataflow.rewriting import reordered_by
from unskip.edits import without_shortcuts

from .random_dataflows import dataflows


def _orders(dataflow):
    """Every order of the operations in which each stands behind those that write what it reads."""
    for order in permutations(range(len(dataflow.operations))):
        done = {0}
        for index in order:
            if not done.issuperset(dataflow.operations[index].inputs):
                break
            done.add(index + 1)
        else:
            yield order


def _peak(dataflow, order, inplace):
    """The peak of one order, by the sets of maps that are still to be read."""
    outputs, elements = set(dataflow.outputs), dataflow.elements
    held, peak = {0}, 0
    for place, index in enumerate(order):
        to_come = {number for later in order[place + 1 :] for number in dataflow.operations[later].inputs} | outputs
        operation = dataflow.operations[index]
        now = {number for number in held if number in to_come or number in operation.inputs}
        done = [number for number in operation.inputs if number not in to_come]
        over = inplace and operation.elementwise and any(elements[number] == elements[index + 1] for number in done)
        peak = max(peak, sum(elements[number] for number in now) + (0 if over else elements[index + 1]))
        held = {number for number in now if number in to_come} | ({index + 1} & to_come)
    return peak


@given(dataflow=dataflows(), inplace=st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_order_needs_less(dataflow, inplace):
    found = reordered(dataflow, inplace=inplace)
    assert found.exact
    assert found.peak_elements == min(_peak(dataflow, order, inplace) for order in _orders(dataflow))
    assert found.peak_elements == _peak(dataflow, found.order, inplace)
    read_later = reordered_by(dataflow, found.order)
    assert max(live_elements(read_later, inplace=inplace)) <= found.peak_elements


def test_an_order_that_helps():
    """Of two branches that take turns, one is finished first."""

    def conv(name, number):
        return Operation(name, "conv", name, (number,), False)

    operations = (
        conv("wide1", 0),
        conv("wide2", 0),
        conv("narrow1", 1),
        conv("narrow2", 2),
        Operation("add", "add", "", (3, 4), True),
    )
    elements = (2, 10, 6, 1, 1, 1)
    dataflow = Dataflow(operations, elements, tuple((1, 1, size) for size in elements), frozenset({5}))
    assert max(live_elements(dataflow)) == 2 + 10 + 6
    found = reordered(dataflow)
    assert found.peak_elements == 2 + 10 + 1
    assert _peak(dataflow, found.order, inplace=True) == 2 + 10 + 1


def test_the_code_s_order_where_the_search_ends_early():
    dataflow = trace(make_net("resnet14"), (3, 32, 32))
    found = reordered(dataflow, most_states=3)
    assert not found.exact
    assert found.order == tuple(range(len(dataflow.operations)))
    assert found.peak_elements == max(live_elements(dataflow))


def test_a_chain_has_one_order():
    dataflow = trace(without_shortcuts(make_net("resnet20")), (3, 32, 32))
    assert reordered(dataflow).peak_elements == max(live_elements(dataflow))
