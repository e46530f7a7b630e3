import pytest

from unskip import units


@pytest.mark.parametrize(
    ("values", "value", "text"),
    [
        ([512], 512, "512 B"),
        ([196_608, 131_072], 131_072, "128.0 KiB"),
        ([6.89 * 2**20, 4_813_000], 4_813_000, "4.59 MiB"),
        ([3 * 2**30], 2**30, "1.00 GiB"),
        ([0], 0, "0 B"),
    ],
)
def test_bytes_share_the_unit_of_the_largest(values, value, text):
    assert units.byte_unit(values)(value).replace(units.SPACE, " ") == text


def test_counts_share_the_unit_of_the_largest():
    assert units.count_unit([25_557_032, 464_154]).number(464_154) == "0.46"
    assert units.count_unit([999])(12) == "12"


def test_zero_points_have_no_sign():
    assert units.signed_points(0.0004) == "0.0"
    assert units.signed_points(-0.0004) == "0.0"
    assert units.signed_points(-0.0123) == "\N{MINUS SIGN}1.2"
    assert units.signed_points(0.0123, decimals=2) == "+1.23"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.24, "4.2 s"), (42, "42 s"), (200, "3 min 20 s"), (3900, "1 h 05 min"), (119.7, "2 min 00 s")],
)
def test_durations(seconds, text):
    assert units.duration(seconds) == text


def test_small_numbers():
    assert units.small(2.13e-6) == "2.1e\N{MINUS SIGN}6"
    assert units.small(0) == "0"
    assert units.small(float("inf")) == "inf"


@pytest.mark.parametrize(("value", "text"), [(0.0412, "0.041"), (1.314, "1.31"), (123.44, "123.4")])
def test_milliseconds(value, text):
    assert units.milliseconds(value) == text
