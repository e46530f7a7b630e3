import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import samples
from unskip.records import Comparison, Figure, Load, speedup, time_share


def bench() -> dict[str, Any]:
    """What a file holds."""
    return samples.bench().model_dump(mode="json")


TIMES = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)), min_size=1, max_size=30)


@given(TIMES)
def test_a_share_of_the_time_is_the_other_way_round_than_times_as_fast(times):
    first, this = (Figure.of_samples(samples) for samples in zip(*times, strict=True))
    faster, share = speedup(first, this), time_share(first, this)
    assert speedup(this, first).model_dump() == pytest.approx(share.model_dump())
    assert faster.low <= faster.median <= faster.high
    if len(times) == 1:
        assert faster.median == pytest.approx(1 / share.median)


def test_ratios_are_taken_within_the_rounds():
    """A machine that slows down by half on the way changes no ratio."""
    first, this = Figure.of_samples([2.0, 4.0, 2.0]), Figure.of_samples([1.0, 2.0, 1.0])
    assert speedup(first, this).model_dump() == {"median": 2, "low": 2, "high": 2}
    assert time_share(first, this).model_dump() == {"median": 0.5, "low": 0.5, "high": 0.5}


@pytest.mark.parametrize(("samples", "shown"), [([1.0, 1.1, 0.9], False), ([1.0, 1.0, 1.0], False), ([0.5, 0.8], True)])
def test_no_difference_is_shown_where_the_spread_holds_1(samples, shown):
    first = Figure.of_samples([1.0] * len(samples))
    assert speedup(first, Figure.of_samples(samples)).shows_difference == shown
    assert time_share(first, Figure.of_samples(samples)).shows_difference == shown


def test_a_figure_is_a_median_with_its_spread_and_its_rounds():
    found = Figure.of_samples([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (found.value, found.low, found.high) == (3.0, pytest.approx(1.4), pytest.approx(4.6))
    assert found.samples == (3.0, 1.0, 2.0, 5.0, 4.0)
    assert Figure.typical([None, 3, 9, 4], "nobody tells").value == 4
    assert Figure.typical([None], "nobody tells") == Figure(unknown="nobody tells")


def test_what_was_written_reads_back():
    record = Comparison.model_validate(bench())
    assert Comparison.model_validate_json(json.dumps(record.model_dump(mode="json"), allow_nan=False)) == record


def test_a_figure_of_a_setting_is_the_files_and_else_the_networks():
    record = Comparison.model_validate(bench())
    group = record.groups[0]
    assert record.figure("residual", "peak").value == record.first.memory.peak_bytes
    assert record.figure("plain", "peak", group).value == 131_072
    assert record.figure("plain", "parameters", group).value == 461_882
    assert record.figure("plain", "unheard of", group) == Figure()


def test_every_group_has_every_subject_once():
    record = bench()
    record["groups"][0]["cells"].reverse()
    with pytest.raises(ValueError, match="one cell for each"):
        Comparison.model_validate(record)
    record = bench()
    with pytest.raises(ValueError, match="must differ"):
        Comparison.model_validate(record | {"subjects": record["subjects"][:1] * 2})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_are_finite(value):
    with pytest.raises(ValueError, match="finite"):
        Figure(value=value)


def test_a_busy_machine_is_warned_about():
    assert Load(average=0.9, cores=4).warning is None
    assert Load(average=None, cores=4).warning is None
    assert "load average 2.5 on 4 cores" in Load(average=2.5, cores=4).warning
