from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unskip.budget import Budget, parse_bytes, parse_count
from unskip.errors import UnskipError


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
    assert parse_bytes(text, "--memory") == size


@pytest.mark.parametrize(("text", "count"), [("5M", 5 * 10**6), ("800m", 8 * 10**8), ("1.2G", 12 * 10**8), ("70", 70)])
def test_counts(text, count):
    assert parse_count(text, "--macs") == count


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("4", "say in which unit, such as 4KiB or 4MiB"),
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
    with pytest.raises(UnskipError, match=f"--memory {text}: {saying}"):
        parse_bytes(text, "--memory")


@pytest.mark.parametrize("text", ["5X", "5MB", "-5M", "0", "nan", "inf", "5,5"])
def test_wrong_counts(text):
    with pytest.raises(UnskipError, match=f"--macs {text}: "):
        parse_count(text, "--macs")


@given(st.integers(1, 10**6), st.sampled_from(["B", "kB", "KiB", "MB", "MiB", "GB", "GiB"]), st.sampled_from(["", " "]))
def test_a_size_is_its_number_of_units(number, unit, space):
    assert parse_bytes(f"{number}{space}{unit}", "--memory") == number * parse_bytes(f"1{unit}", "--memory")


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_refused(text):
    for parse in (parse_bytes, parse_count):
        with suppress(UnskipError):
            assert parse(text, "--memory") >= 1


@pytest.mark.parametrize(
    ("limits", "saying"),
    [
        ({}, "at least one limit: --memory 4MiB"),
        ({"element": "int8"}, "at least one limit"),
        ({"macs": 1, "element": "int4"}, "no element 'int4'; known: float32, int8"),
        ({"latency_ratio": 1.01}, r"--latency-ratio 1.01: expected a number above 0 and up to 1"),
        ({"latency_ratio": 0.0}, "--latency-ratio 0: "),
        ({"latency_ratio": float("nan")}, "--latency-ratio nan: "),
        ({"latency_ms": -2.0}, "--latency-ms -2: expected milliseconds above 0"),
        ({"latency_ms": float("inf")}, "--latency-ms inf: "),
        ({"peak_bytes": 0}, "peak_bytes: expected 1 or more, not 0"),
    ],
)
def test_what_is_no_budget(limits, saying):
    with pytest.raises(UnskipError, match=saying):
        Budget(**limits)


def test_a_budget_knows_what_is_forecast():
    assert Budget(macs=3, latency_ms=2).forecast == {"macs": 3}
    assert Budget(latency_ratio=1).limits_latency
    assert not Budget(peak_bytes=1).limits_latency
