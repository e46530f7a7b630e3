"""`unskip bench`: networks and deployed files side by side, in any runtimes."""

from unskip.bench.comparison import BenchSettings, bench, names_in, numbers_in
from unskip.bench.table import render
from unskip.bench.targets import Target, find_targets

__all__ = ["BenchSettings", "Target", "bench", "find_targets", "names_in", "numbers_in", "render"]
