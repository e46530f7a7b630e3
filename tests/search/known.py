"""Measurements with known figures."""

from unskip.measure import Latency, Speedup
from unskip.search.timing import Timed


def timed(low, median, high, file_bytes=1000):
    """A file that takes these shares of a network's time, which is 10 ms."""
    latency = Latency(
        median_ms=10 * median,
        low_ms=10 * low,
        high_ms=10 * high,
        runtime="a runtime 1.0",
        threads=1,
        batch_size=1,
        repeats=5,
        samples_ms=(10 * median,) * 5,
        processes=1,
        device="cpu",
    )
    return Timed(latency, Speedup(median, low, high), file_bytes)
