"""What ``run.json`` and a benchmark's JSON file hold, as typed data; no torch."""

from unskip.records.comparison import Cell, Comparison, Group, Load, Subject
from unskip.records.eight_bits import EightBits, read_eight_bits
from unskip.records.estimate import Estimate, Layer, Traffic
from unskip.records.figures import About, Figure, Operation, Record, Speedup, Timeline, TimeShare, speedup, time_share
from unskip.records.run import Data, Epoch, Net, Run

__all__ = [
    "About",
    "Cell",
    "Comparison",
    "Data",
    "EightBits",
    "Epoch",
    "Estimate",
    "Figure",
    "Group",
    "Layer",
    "Load",
    "Net",
    "Operation",
    "Record",
    "Run",
    "Speedup",
    "Subject",
    "TimeShare",
    "Timeline",
    "Traffic",
    "read_eight_bits",
    "speedup",
    "time_share",
]
