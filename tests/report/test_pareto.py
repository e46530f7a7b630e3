import re
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from unskip.report.pareto import Point, front, pareto_plot
from unskip.units import SPACE

costs, accuracies = st.integers(1, 6).map(float), st.integers(0, 5).map(lambda value: value / 5)
points = st.lists(st.builds(Point, st.text("ab", min_size=1), costs, accuracies, st.just(0)), min_size=1, max_size=8)


def beats(one: Point, other: Point) -> bool:
    """By the definition: no worse in both, better in one."""
    as_good = one.cost <= other.cost and one.accuracy >= other.accuracy
    return as_good and (one.cost, one.accuracy) != (other.cost, other.accuracy)


@given(points)
def test_the_front_are_those_that_none_beats(given_points):
    expected = [point for point in given_points if not any(beats(other, point) for other in given_points)]
    assert sorted(front(given_points), key=repr) == sorted(expected, key=repr)
    for one, later in combinations(front(given_points), 2):
        assert one.cost <= later.cost


def test_every_point_has_its_name_and_the_alternative_text_has_the_figures():
    drawn = [Point("teacher", 12.0, 0.99, 0, (11.0, 13.0)), Point("plain", 8.0, 0.95, 1), Point("bad", 9.0, 0.2, 2)]
    svg = pareto_plot(drawn, "Top-1", "latency, ms", "pareto")
    root = ElementTree.fromstring(svg)
    assert {"teacher", "plain", "bad", "latency, ms"} <= {element.text for element in root.iter("text")}
    said = root.get("aria-label", "").replace(SPACE, " ")
    assert "plain 95.0 % at 8" in said
    assert "Not beaten in both: plain, teacher." in said


def test_names_of_points_in_one_place_do_not_cover_each_other():
    svg = pareto_plot([Point(f"net {i}", 5.0, 0.5, i) for i in range(4)], "score", "cost", "pareto")
    heights = [
        (element.get("x"), element.get("y"), element.get("transform"))
        for element in ElementTree.fromstring(svg).iter("text")
        if (element.text or "").startswith("net ")
    ]
    assert len(set(heights)) == 4


def test_short_trainings_beat_nobody_and_the_limit_is_within_the_plot():
    drawn = [Point("teacher", 4.0, 0.9, 0), Point("1", 2.0, 0.95, 2, short=True), Point("winner", 3.0, 0.8, 1)]
    svg = pareto_plot(drawn, "Top-1", "cost", "tried", limit=9.0)
    said = ElementTree.fromstring(svg).get("aria-label", "").replace(SPACE, " ")
    assert "1 95.0 % at 2 after a short training" in said
    assert "Not beaten in both: winner, teacher. The limit is 9." in said
    assert pareto_plot(drawn, "Top-1", "cost", "tried") != svg


def test_a_difference_of_noise_does_not_fill_the_axis():
    close = [Point("a", 1.0, 0.9944, 0), Point("b", 2.0, 0.9972, 1)]
    drawn = pareto_plot(close, "Top-1", "Cost", "close")
    ticks = [float(text) for text in re.findall(r">(\d+(?:\.\d+)?)</text>", drawn)]
    assert min(tick for tick in ticks if tick > 50) <= 96
    assert max(ticks) == 100
