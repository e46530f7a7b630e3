"""What a network computes and holds, counted without running it: operations, live memory, shortcuts, MACs."""

from unskip.dataflow.counts import CONVENTIONS, Convention, count_macs, num_layers, num_parameters
from unskip.dataflow.memory import LiveOperation, MemoryTimeline, forecast
from unskip.dataflow.shortcuts import Shortcut, inventory, shortcut_share

__all__ = [
    "CONVENTIONS",
    "Convention",
    "LiveOperation",
    "MemoryTimeline",
    "Shortcut",
    "count_macs",
    "forecast",
    "inventory",
    "num_layers",
    "num_parameters",
    "shortcut_share",
]
