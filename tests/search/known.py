"""Measurements with known figures."""

from unskip.records import Cell, Figure


def timed(low, median, high, file_bytes=1000):
    """A file that takes these shares of a network's time, which is 10 ms."""
    return Cell(
        subject="a student",
        figures={
            "latency": Figure(value=10 * median, low=10 * low, high=10 * high),
            "latency_ratio": Figure(value=median, low=low, high=high),
            "file_bytes": Figure(value=file_bytes),
        },
    )
