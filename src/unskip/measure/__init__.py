"""How fast the file of a network is."""

from unskip.measure.latency import Latency, Measurement, Speedup, measure_files, measure_latency, speedup
from unskip.measure.processes import Job

__all__ = [
    "Job",
    "Latency",
    "Measurement",
    "Speedup",
    "measure_files",
    "measure_latency",
    "speedup",
]
