"""What the papers print, and whether this code gives the same."""

from unskip.papers.counts import CheckedCount, CountedNet, PrintedCount, check_counts, counted_net, printed_counts
from unskip.papers.table import render, summary

__all__ = [
    "CheckedCount",
    "CountedNet",
    "PrintedCount",
    "check_counts",
    "counted_net",
    "printed_counts",
    "render",
    "summary",
]
