from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unskip.data.windows import windowed_order


def layout(sizes) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def order_of(groups, batch_size, at_once, seed=0):
    return windowed_order(groups, np.random.default_rng(seed), batch_size, at_once)


def reads(groups, order, room) -> int:
    """How often a group is read where the ``room`` last used rows' groups stay in memory."""
    held, size, count = OrderedDict(), np.bincount(groups), 0
    for group in groups[order].tolist():
        if group not in held:
            count += 1
        held[group] = None
        held.move_to_end(group)
        while sum(size[each] for each in held) > room and len(held) > 1:
            held.popitem(last=False)
    return count


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 40), st.integers(1, 400), st.integers(0, 2**31 - 1))
def test_every_row_comes_once(sizes, batch_size, at_once, seed):
    groups = layout(sizes)
    order = order_of(groups, batch_size, at_once, seed)
    assert sorted(order.tolist()) == list(range(len(groups)))
    assert order.tolist() == order_of(groups, batch_size, at_once, seed).tolist()


@pytest.mark.parametrize("batch_size", [64, 60, 7])
@pytest.mark.parametrize("at_once", [400, 1000, 2000])
def test_hardly_a_group_is_read_twice_with_that_much_memory(batch_size, at_once):
    groups = layout([20] * 500)
    order = order_of(groups, batch_size, at_once)
    assert reads(groups, order, at_once) < 1.15 * 500
    shuffled = np.random.default_rng(0).permutation(10_000)
    assert reads(groups, shuffled, at_once) > 15 * 500


def test_ranks_read_groups_of_their_own():
    groups = layout([20] * 500)
    batches = groups[order_of(groups, 64, 2000)][: 156 * 64].reshape(156, 64)
    for world in (2, 4, 8):
        shares = [set(share.reshape(-1).tolist()) for share in np.split(batches, world, axis=1)]
        assert sum(map(len, shares)) - len(set.union(*shares)) < 2 * world  # but those at the seams


def test_a_batch_is_of_many_groups_and_epochs_differ():
    groups = layout([20] * 500)
    order = order_of(groups, 64, 2000)
    batches = groups[order][: 156 * 64].reshape(156, 64)
    assert np.mean([len(np.unique(batch)) for batch in batches]) > 30  # a permutation has 60
    assert (order != order_of(groups, 64, 2000, seed=1)).mean() > 0.99


def test_rows_of_a_group_part():
    """How far rows that are neighbours in a file come to lie from one another: about a window of a lane."""
    groups = layout([20] * 500)
    place = np.argsort(order_of(groups, 64, 4000))
    apart = np.abs(np.diff(place.reshape(500, 20), axis=1))
    assert np.median(apart) > 64 * 8


def test_groups_larger_than_the_memory_still_come():
    groups = layout([100] * 3)
    order = order_of(groups, 10, 5)
    assert reads(groups, order, 5) <= 4
    assert sorted(order.tolist()) == list(range(300))
