"""Measurements with known figures."""

from unskip.records import Figure, TimeShare
from unskip.search.timing import Timed


def timed(low, median, high, file_bytes=1000):
    """A file that takes these shares of a network's time, which is 10 ms."""
    latency = Figure(value=10 * median, low=10 * low, high=10 * high, samples=(10 * median,) * 5)
    return Timed(latency, TimeShare(median=median, low=low, high=high), file_bytes)
