from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unskip import units
from unskip.errors import UnskipError


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


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4MiB", 4 * 2**20),
        ("1.5 MiB", 3 * 2**19),
        ("256kB", 256_000),
        ("256KiB", 2**18),
        (".5GiB", 2**29),
        ("2GB", 2 * 10**9),
        ("17B", 17),
        ("1e3MB", 10**9),
    ],
)
def test_sizes(text, size):
    assert units.bytes_from(text, "memory") == size


@pytest.mark.parametrize(("text", "count"), [("5M", 5 * 10**6), ("800m", 8 * 10**8), ("1.2G", 12 * 10**8), ("70", 70)])
def test_counts(text, count):
    assert units.count_from(text, "macs") == count


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("4", "say in which unit, such as 4MiB"),
        ("4Mb", r"no unit 'Mb'; did you mean 'MB'\?"),
        ("4mib", r"no unit 'mib'; did you mean 'MiB'\?"),
        ("4XiB", "no unit 'XiB'.*known: B, kB, KiB, MB, MiB"),
        ("-4MiB", "expected 1 or more"),
        ("0MiB", "expected 1 or more"),
        ("1e999GiB", "expected 1 or more"),
        ("MiB", "expected a number and a unit, such as 4MiB"),
        ("four", "expected a number and a unit"),
        ("4 Mi B", "expected a number and a unit"),
        ("", "expected a number and a unit"),
    ],
)
def test_wrong_sizes_name_the_option(text, saying):
    with pytest.raises(UnskipError, match=f"`memory` {text}: {saying}"):
        units.bytes_from(text, "memory")


@pytest.mark.parametrize("text", ["5X", "5MB", "-5M", "0", "nan", "inf", "5,5"])
def test_wrong_counts(text):
    with pytest.raises(UnskipError, match=f"`macs` {text}: "):
        units.count_from(text, "macs")


@given(st.integers(1, 10**6), st.sampled_from(["B", "kB", "KiB", "MB", "MiB", "GB", "GiB"]), st.sampled_from(["", " "]))
def test_a_size_is_its_number_of_units(number, unit, space):
    assert units.bytes_from(f"{number}{space}{unit}", "memory") == number * units.bytes_from(f"1{unit}", "memory")


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_refused(text):
    for parse in (units.bytes_from, units.count_from):
        with suppress(UnskipError):
            assert parse(text, "memory") >= 1
