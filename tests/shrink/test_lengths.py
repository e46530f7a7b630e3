"""How long trainings are."""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unskip.shrink.lengths import (
    FEWEST_STEPS,
    PRESETS,
    REDUCTION,
    TRIAL_SHARE,
    TRIAL_STEPS,
    Length,
    length_for,
    num_tried,
    rung_sizes,
)

SECONDS = st.floats(0.01, 1e6)
IMAGES = st.integers(1, 10**6)
BATCHES = st.integers(1, 512)


@given(seconds=SECONDS, step=st.floats(1e-4, 100), images=IMAGES, batch=BATCHES)
def test_a_training_fits_into_its_time_and_uses_it(seconds, step, images, batch):
    assume(batch <= images)
    length = length_for(seconds, step, images, batch)
    assert length.epochs >= 1
    assert 0 < length.share <= 1
    assert length.epochs == 1 or length.share >= 0.9
    per_epoch, possible = images // batch, max(FEWEST_STEPS, seconds / step)
    steps = length.steps(images, batch)
    assert 1 <= steps <= possible + 1e-6
    assert steps > possible - max(2, min(per_epoch, possible)), "less than an epoch of the time is left"


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(3.8, Length(4, 0.95)), (3.2, Length(3, 1.0)), (1.5, Length(1, 1.0)), (20.9, Length(20, 1.0))],
)
def test_one_epoch_more_on_most_of_the_images_where_that_is_worth_it(epochs, expected):
    assert length_for(100 * epochs, 1.0, 6400, 64) == expected


@given(count=st.integers(0, 100))
def test_rungs_keep_a_third_until_one_is_left(count):
    sizes = rung_sizes(count)
    assert sizes == sorted(sizes, reverse=True)
    assert all(later == math.ceil(earlier / REDUCTION) for earlier, later in pairwise(sizes))
    if count > 1:
        assert sizes[0] == count
        assert math.ceil(sizes[-1] / REDUCTION) == 1
    else:
        assert sizes == []


@given(wanted=st.integers(1, 12), seconds=SECONDS, step=st.floats(1e-3, 10))
def test_as_many_are_tried_as_the_time_allows(wanted, seconds, step):
    def fits(number):
        return TRIAL_SHARE * seconds / len(rung_sizes(number)) >= number * TRIAL_STEPS * step

    count = num_tried(wanted, seconds, step)
    assert 1 <= count <= wanted
    assert count == 1 or fits(count)
    assert not any(fits(more) for more in range(count + 1, wanted + 1))


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (Length(1, 1.0), "1 epoch"),
        (Length(1200, 1.0), "1,200 epochs"),
        (Length(1, 0.4), "1 epoch of 40 % of the images"),
    ],
)
def test_in_words(length, words):
    assert str(length) == words


def test_more_effort_tries_more_and_trains_longer():
    efforts = list(PRESETS.values())
    assert efforts == sorted(efforts, key=lambda effort: (effort.candidates, effort.epochs, effort.steps))


@given(images=IMAGES, batch=BATCHES)
def test_few_images_are_seen_more_often(images, batch):
    for effort in PRESETS.values():
        length = effort.winner(images, batch)
        assert length.epochs >= effort.epochs
        assert length.epochs * max(1, images // batch) >= effort.steps
