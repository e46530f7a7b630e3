import pytest
from hypothesis import given
from hypothesis import strategies as st

from unskip.data.batches import Steps, epoch_order
from unskip.errors import UnskipError


@given(st.integers(1, 70), st.integers(1, 6), st.integers(1, 4), st.booleans())
def test_ranks_share_every_global_batch(num_images, share, world_size, drop_last):
    if drop_last and num_images < world_size:
        return
    batch_size = share * world_size
    ranks = [Steps(num_images, batch_size, drop_last, rank, world_size) for rank in range(world_size)]
    alone = Steps(num_images, batch_size, drop_last)
    for step in range(len(alone)):
        parts = [list(range(num_images))[steps.places(step)] for steps in ranks if step < len(steps)]
        assert all(parts), "a share is empty"
        assert [place for part in parts for place in part] == list(range(num_images))[alone.places(step)]


@given(st.integers(1, 50), st.integers(1, 60))
def test_only_an_incomplete_last_batch_is_dropped(num_images, batch_size):
    assert len(Steps(num_images, batch_size, drop_last=True)) == max(1, num_images // batch_size)
    kept = Steps(num_images, batch_size, drop_last=False)
    sizes = [kept.places(step).stop - kept.places(step).start for step in range(len(kept))]
    assert sum(sizes) == num_images
    assert all(size == batch_size for size in sizes[:-1])


def test_a_batch_that_ranks_cannot_share():
    with pytest.raises(UnskipError, match="a batch of 10 images cannot be split over 4 processes"):
        Steps(100, 10, drop_last=True, rank=0, world_size=4)


def test_fewer_images_than_ranks():
    with pytest.raises(UnskipError, match="3 training images are too few for 4 processes"):
        Steps(3, 4, drop_last=True, rank=0, world_size=4)


def test_every_epoch_has_its_own_order():
    orders = [tuple(epoch_order(30, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert orders[0] == tuple(epoch_order(30, 0, 0))


def test_without_a_seed_the_order_is_fixed():
    assert list(epoch_order(5, None, 3)) == [0, 1, 2, 3, 4]
