"""What a network costs: parameters, MACs, live memory, latency."""

from unskip.measure.counts import CONVENTIONS, Convention, count_macs, num_layers, num_parameters
from unskip.measure.latency import Latency, Measurement, Speedup, measure_files, measure_latency, speedup
from unskip.measure.memory import LiveOperation, MemoryTimeline, forecast
from unskip.measure.processes import Job
from unskip.measure.shortcuts import Shortcut, inventory, shortcut_share

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Job",
    "Latency",
    "LiveOperation",
    "Measurement",
    "MemoryTimeline",
    "Shortcut",
    "Speedup",
    "count_macs",
    "forecast",
    "inventory",
    "measure_files",
    "measure_latency",
    "num_layers",
    "num_parameters",
    "shortcut_share",
    "speedup",
]
