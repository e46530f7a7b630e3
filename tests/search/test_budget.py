import pytest

from unskip.errors import UnskipError
from unskip.search import Budget


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
