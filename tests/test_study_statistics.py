"""Statistics of studies against what their formulas say, term by term."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from records import samples
from scipy.stats import t

from unskip.records import Conclusion, Counted, Derived, Entry, Study
from unskip.study_statistics import compare, count, derive, gap_of, matches, paired, spread_of

FIGURES = some.floats(0, 100, allow_nan=False)
BY_SEED = some.dictionaries(some.integers(0, 6), FIGURES, max_size=7)


def slow_mean_and_sd(values):
    """The sum over n, and the root of the squares' sum over n - 1."""
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    squares = 0.0
    for value in values:
        squares += (value - mean) ** 2
    return mean, math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None


def slow_interval(differences):
    """Student's interval with the quantile that a table has for 97.5 % and n - 1 degrees of freedom."""
    mean, sd = slow_mean_and_sd(differences)
    half = t.ppf(0.975, len(differences) - 1) * sd / math.sqrt(len(differences))
    return mean - half, mean + half


def entry(row, column, figures, value="top1", printed=None):
    measured = dict(enumerate(figures)) if isinstance(figures, (list, tuple)) else figures
    runs = {seed: f"cells/{seed}" for seed in measured}
    return Entry(row=row, column=column, value=value, printed=printed, measured=measured, runs=runs)


def study(*entries, derived=()):
    cells = [{"label": "all", "seed": seed, "run": f"cells/{seed}", "state": "done"} for seed in range(7)]
    fields = {"name": "s", "title": "S", "unskip": "1", "seeds": range(7), "seconds": 1, "cells": cells}
    return Study(**fields, entries=entries, derived=derived)


@settings(max_examples=50)
@given(some.lists(FIGURES, min_size=1, max_size=8))
def test_the_spread_is_that_of_the_formula(values):
    spread = spread_of(values)
    mean, sd = slow_mean_and_sd(values)
    assert spread.mean == pytest.approx(mean)
    assert spread.n == len(values)
    assert spread.sd is None if sd is None else spread.sd == pytest.approx(sd, abs=1e-6)


def test_nothing_has_no_spread():
    assert spread_of([]) is None
    assert gap_of(entry("a", "b", [], printed=3.0)) is None
    assert gap_of(entry("a", "b", [3.0])) is None
    assert gap_of(entry("a", "b", [3.0, 4.0], printed=4.5)) == pytest.approx(-1.0)


@settings(max_examples=50)
@given(BY_SEED, BY_SEED)
def test_differences_are_within_seeds(figures, others):
    both = [seed for seed in figures if seed in others]
    difference = paired(figures, others)
    if not both:
        assert difference is None
        return
    differences = [figures[seed] - others[seed] for seed in both]
    assert difference.n == len(both)
    assert difference.mean == pytest.approx(slow_mean_and_sd(differences)[0], abs=1e-6)
    if len(both) == 1:
        assert difference.low is difference.high is None
        assert difference.verdict == "not shown"
    else:
        assert (difference.low, difference.high) == pytest.approx(slow_interval(differences), abs=1e-5)


def test_three_seeds_by_hand():
    difference = paired({0: 91.0, 1: 92.0, 2: 93.0}, {0: 90.0, 1: 90.0, 2: 90.0})
    assert difference.mean == 2
    assert difference.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)  # t of 2 degrees, sd 1
    assert difference.verdict == "not shown"


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((1.0, 1.1, 1.2), "holds"),
        ((-1.0, -1.1, -1.2), "reversed"),
        ((1.0, -1.0, 0.5), "not shown"),
        ((5.0,), "not shown"),
        ((0.3, 0.3), "holds"),
        ((0.0, 0.0), "not shown"),
    ],
)
def test_the_verdict_is_that_of_the_interval(differences, verdict):
    figures = {seed: 90.1 + value for seed, value in enumerate(differences)}
    assert paired(figures, dict.fromkeys(figures, 90.1)).verdict == verdict


def test_the_interval_holds_the_truth_in_about_95_of_100_cases():
    draws = np.random.default_rng(0).normal(0.4, 1.3, (1500, 3))
    held = [paired(dict(enumerate(row)), dict.fromkeys(range(3), 0.0)) for row in draws.tolist()]
    assert np.mean([each.low <= 0.4 <= each.high for each in held]) == pytest.approx(0.95, abs=0.02)


def test_a_derived_row_is_computed_within_each_seed():
    entries = [entry("R", "g2", [70.0, 71.0, 72.0]), entry("NR", "g2", {0: 66.0, 2: 69.5}), entry("R", "g4", [70.0])]
    (drop,) = derive("drop", entries, of="R", minus="NR", printed={"g2": 4.0, "g4": 1.0})
    assert drop == Derived(row="drop", column="g2", printed=4.0, measured={0: 4.0, 2: 2.5}, of="R", minus="NR")
    study(*entries, derived=[drop])


def test_the_best_row_is_that_of_the_best_mean_and_then_its_own_seeds():
    entries = [
        entry("from G1", "g2", [71.0, 75.0]),  # the highest single figure
        entry("from g2", "g2", [74.0, 73.0]),  # the highest mean
        entry("from g4", "g2", []),
        entry("NR", "g2", [80.0, 80.0]),
        entry("R", "g2", [72.0, 72.5]),
    ]
    (gain,) = derive("gain", entries, best="from *", minus="R")
    assert (gain.of, gain.best, gain.measured) == ("from g2", "from *", {0: 2.0, 1: 0.5})
    study(*entries, derived=[gain])
    errors = [each.model_copy(update={"value": "error"}) for each in entries]
    assert derive("gain", errors, best="from *", minus="R")[0].of == "from G1"


def test_of_what_is_not_measured_nothing_is_derived_but_its_place():
    entries = [entry("R", "g2", []), entry("from g2", "g2", []), entry("from g4", "g2", [])]
    (gain,) = derive("gain", entries, best="from *", minus="R", printed={"g2": -1.5})
    assert (gain.measured, gain.printed, gain.of) == ({}, -1.5, "from g2")
    assert derive("gain", entries, best="nothing *", minus="R") == ()
    assert derive("gain", entries, of="R", minus="nothing") == ()


@pytest.mark.parametrize(
    ("row", "pattern", "right"),
    [("from [2 2]", "from *", True), ("from a", "from", False), ("f.om", "f?om", False), ("a*b", "a*b", True)],
)
def test_a_star_stands_for_any_text_and_nothing_else_does(row, pattern, right):
    assert matches(row, pattern) == right


def test_columns_are_counted_by_their_means_and_by_what_is_printed():
    entries = [entry("R", column, [70.0, 70.0]) for column in "abc"]
    entries += [entry("KD", column, figures) for column, figures in zip("abc", ([69, 70.5], [71, 71], []), strict=True)]
    gains = derive("gain", entries, of="KD", minus="R", printed={"a": 1.2, "b": -0.5})
    counted = count(study(*entries, derived=gains), Counted(name="negative", row="gain", below=0))
    assert (counted.within, counted.measured) == (("a",), 2)
    assert (counted.printed_within, counted.printed) == (("b",), 2)
    both = count(study(*entries, derived=gains), Counted(name="small", row="gain", above=-0.3, below=0.3))
    assert both.within == ("a",)
    assert count(study(*entries), Counted(name="n", row="nowhere", above=0)).measured == 0


def test_an_order_is_compared_in_every_column_and_in_all_together():
    record = study(
        entry("A", "x", [91.0, 92.0, 93.0], printed=90.0),
        entry("B", "x", [90.0, 91.2, 91.8], printed=91.0),
        entry("A", "y", [81.0, 82.0], printed=80.0),
        entry("B", "y", [82.0, 84.0], printed=79.5),
        entry("A", "z", [], printed=80.0),
        entry("B", "z", [1.0]),
    )
    x, y, z, together = compare(record, Conclusion(better="A", than="B"))
    assert (x.place, x.difference, x.printed) == (
        "x",
        paired({0: 1.0, 1: 0.8, 2: 1.2}, dict.fromkeys(range(3), 0)),
        -1.0,
    )
    assert (x.verdict, y.verdict, z.verdict) == ("holds", "not shown", "not shown")
    assert z.difference is None
    # The seeds that both columns have, the mean over columns within each.
    assert together.place is None
    assert together.places == 2
    assert (together.difference.mean, together.difference.n) == (pytest.approx((0.0 - 0.6) / 2), 2)
    assert together.printed == pytest.approx(-0.25)


def test_where_less_is_better_the_signs_are_turned():
    record = study(entry("A", "x", [5.0, 5.1], "error", 4.0), entry("B", "x", [7.0, 7.2], "error", 6.0))
    (x,) = compare(record, Conclusion(better="A", than="B"))
    assert (x.difference.mean, x.printed, x.verdict) == (pytest.approx(2.05), 2.0, "holds")


def test_columns_are_compared_in_every_row():
    record = study(
        entry("ResNet-20", "EKD", [92.0, 92.1]),
        entry("ResNet-20", "DDNN", [91.0, 91.2]),
        entry("ResNet-32", "EKD", [93.0, 93.1]),
    )
    assert [each.place for each in compare(record, Conclusion(better="EKD", than="DDNN"))] == ["ResNet-20"]


def test_rows_are_compared_in_the_columns_of_a_pattern():
    record = study(
        *(entry(row, column, [90.0, 90.1]) for row in "AB" for column in ("20 (full)", "14 (sub)", "8 (sub)"))
    )
    places = [each.place for each in compare(record, Conclusion(better="A", than="B", columns="*(sub)"))]
    assert places == ["14 (sub)", "8 (sub)", None]
    assert compare(record, Conclusion(better="A", than="B", columns="nothing")) == ()


def test_units_are_not_put_together_and_what_is_not_there_is_not_compared():
    record = study(
        *(entry(row, "x", [90.0, 90.0]) for row in "AB"),
        *(entry(row, "minutes", [9.0, 9.0], "minutes") for row in "AB"),
        entry("C", "x", [90.0]),
        entry("D", "minutes", [90.0], "minutes"),
    )
    assert [each.place for each in compare(record, Conclusion(better="A", than="B"))] == ["x", "minutes"]
    assert compare(record, Conclusion(better="C", than="D")) == ()
    assert compare(record, Conclusion(better="A", than="nothing")) == ()


def test_an_order_may_be_of_some_columns():
    rows = [entry(row, column, [50, 60]) for row in "AB" for column in ("full", "sub 1", "sub 2")]
    compared = compare(study(*rows), Conclusion(better="A", than="B", columns="sub *"))
    assert [each.place for each in compared] == ["sub 1", "sub 2", None]


def test_the_sample_study():
    record = samples.study()
    x, y, together = compare(record, record.conclusions[0])
    assert (x.verdict, y.verdict) == ("holds", "not shown")
    assert together.difference.n == 2
