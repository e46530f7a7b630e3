"""Networks and their files side by side: the only place that exports, times and measures."""

from unskip.compare.benchmark import bench
from unskip.compare.files import Exports
from unskip.compare.runs import Trained, results_of
from unskip.compare.targets import Target, find_targets
from unskip.compare.test_sets import TestSet
from unskip.compare.timing import measure_latency
from unskip.compare.workbench import Settings, Workbench

__all__ = [
    "Exports",
    "Settings",
    "Target",
    "TestSet",
    "Trained",
    "Workbench",
    "bench",
    "find_targets",
    "measure_latency",
    "results_of",
]
