import pytest

from unskip.errors import UnskipError
from unskip.search import Budget


@pytest.mark.parametrize(
    ("limits", "saying"),
    [
        ({}, "at least one limit: .*`memory`"),
        ({"memroy": 1}, "no limit 'memroy'; did you mean 'memory'"),
        ({"latency_ratio": 1.01}, r"`latency_ratio` 1.01: expected a number above 0 and up to 1"),
        ({"latency_ratio": "1.01"}, r"`latency_ratio` 1.01: expected a number above 0 and up to 1"),
        ({"latency_ratio": 0.0}, "`latency_ratio` 0: "),
        ({"latency_ratio": float("nan")}, "`latency_ratio` nan: "),
        ({"latency_ms": -2.0}, "`latency_ms` -2: expected a number above 0"),
        ({"latency_ms": float("inf")}, "`latency_ms` inf: "),
        ({"memory": 0}, "`memory` 0: expected a number above 0"),
        ({"memory": "4"}, "`memory` 4: say in which unit"),
    ],
)
def test_what_is_no_budget(limits, saying):
    with pytest.raises(UnskipError, match=saying):
        Budget(limits)


def test_an_element_that_nobody_knows():
    with pytest.raises(UnskipError, match="no `element` 'int4'; known: float32, int8"):
        Budget({"macs": 1}, element="int4")


def test_limits_are_of_measures():
    limits = {"memory": "4MiB", "macs": 3, "latency_ms": "2", "latency_ratio": 0.5}
    assert Budget(limits).most == {"peak": 2**22, "macs": 3, "latency": 2, "latency_ratio": 0.5}
