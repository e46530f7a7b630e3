"""Networks and their files side by side: the only place that exports, times and measures."""

from unskip.compare.answers import compare_answers
from unskip.compare.benchmark import bench
from unskip.compare.runs import TrainedNet, record_of_data, results_of
from unskip.compare.settings import Settings
from unskip.compare.targets import Target, find_targets
from unskip.compare.workbench import Workbench, machine_load

__all__ = [
    "Settings",
    "Target",
    "TrainedNet",
    "Workbench",
    "bench",
    "compare_answers",
    "find_targets",
    "machine_load",
    "record_of_data",
    "results_of",
]
