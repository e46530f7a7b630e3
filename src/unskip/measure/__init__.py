"""How fast and how accurate a network or its file is."""

from unskip.measure.accuracy import Accuracy, evaluate, evaluate_file
from unskip.measure.latency import Latency, Measurement, Speedup, measure_files, measure_latency, speedup
from unskip.measure.processes import Job

__all__ = [
    "Accuracy",
    "Job",
    "Latency",
    "Measurement",
    "Speedup",
    "evaluate",
    "evaluate_file",
    "measure_files",
    "measure_latency",
    "speedup",
]
