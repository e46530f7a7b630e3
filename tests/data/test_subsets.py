from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unskip.data.subsets import balanced_order, balanced_share, balanced_subset, held_out

label_lists = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(lambda labels: np.array(labels, np.int64))
seeds = st.integers(0, 2**40)


@given(label_lists, seeds, st.data())
def test_a_subset_is_as_balanced_as_the_classes_allow(labels, seed, data):
    count = data.draw(st.integers(0, len(labels)))
    rows = balanced_subset(labels, count, seed)
    assert list(rows) == sorted(set(rows))
    assert len(rows) == count
    chosen = Counter(labels[rows].tolist())
    available = Counter(labels.tolist())
    most = max(chosen.values(), default=0)
    assert all(chosen[name] >= min(most - 1, available[name]) for name in available)


@given(label_lists, seeds, st.data())
def test_a_smaller_subset_is_part_of_a_larger_one(labels, seed, data):
    small, large = sorted(data.draw(st.tuples(*[st.integers(0, len(labels))] * 2)))
    assert set(balanced_subset(labels, small, seed)) <= set(balanced_subset(labels, large, seed))


@given(label_lists, seeds)
def test_the_order_holds_every_image_once_and_is_repeatable(labels, seed):
    order = balanced_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    assert (order == balanced_order(labels, seed)).all()


@given(label_lists, st.floats(0.01, 1), seeds)
def test_a_share_takes_the_same_part_of_every_class(labels, fraction, seed):
    chosen = Counter(labels[balanced_share(labels, fraction, seed)].tolist())
    for name, available in Counter(labels.tolist()).items():
        assert chosen[name] == max(1, round(fraction * available))


@given(label_lists, st.floats(0.01, 0.99), seeds)
def test_held_out_images_come_from_every_class(labels, fraction, seed):
    labels = np.concatenate([labels, labels])  # at least two of each
    stay, leave = held_out(labels, fraction, seed)
    assert sorted([*stay, *leave]) == list(range(len(labels)))
    assert set(labels[stay]) == set(labels[leave]) == set(labels)


def test_the_seed_decides():
    labels = np.repeat(np.arange(10), 50)
    assert not np.array_equal(balanced_subset(labels, 100, 0), balanced_subset(labels, 100, 1))


def test_more_images_than_there_are():
    assert len(balanced_subset(np.zeros(5, np.int64), 6, 0)) == 5
