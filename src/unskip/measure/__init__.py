"""What a network costs and what it gives: parameters, MACs, live memory, latency, accuracy."""

from unskip.measure.accuracy import Accuracy, evaluate, evaluate_file
from unskip.measure.counts import CONVENTIONS, Convention, count_macs, num_layers, num_parameters
from unskip.measure.latency import Latency, Measurement, Speedup, measure_files, measure_latency, speedup
from unskip.measure.memory import LiveOperation, MemoryTimeline, forecast
from unskip.measure.processes import Job
from unskip.measure.shortcuts import Shortcut, inventory, shortcut_share

__all__ = [
    "CONVENTIONS",
    "Accuracy",
    "Convention",
    "Job",
    "Latency",
    "LiveOperation",
    "Measurement",
    "MemoryTimeline",
    "Shortcut",
    "Speedup",
    "count_macs",
    "evaluate",
    "evaluate_file",
    "forecast",
    "inventory",
    "measure_files",
    "measure_latency",
    "num_layers",
    "num_parameters",
    "shortcut_share",
    "speedup",
]
