import itertools

from hypothesis import given
from hypothesis import strategies as st

from unskip.report.labels import short_label, spread


def test_long_names_are_cut_in_the_middle():
    assert short_label("resnet50") == "resnet50"
    cut = short_label("resnet50+without_shortcuts")
    assert (cut[:8], cut[-7:], len(cut)) == ("resnet50", "ortcuts", 16)
    assert short_label("resnet50+without_shortcuts", 30) == "resnet50+without_shortcuts"


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_spread_labels_do_not_touch_and_keep_their_order(wanted):
    placed = spread(wanted, gap=15, low=0, high=200)
    for (a, at_a), (b, at_b) in itertools.combinations(zip(wanted, placed, strict=True), 2):
        assert abs(at_a - at_b) >= 15 - 1e-6
        assert a == b or (a < b) == (at_a < at_b)
    assert min(placed) >= -1e-6
    assert max(placed) <= 200 + 1e-6


def test_labels_that_have_room_stay_where_they_are():
    assert spread([10, 90, 50], gap=15, low=0, high=100) == [10, 90, 50]
