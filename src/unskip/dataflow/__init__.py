"""What a network computes and holds, counted without running it: operations, live memory, shortcuts, MACs."""

from unskip.dataflow.cost import Cost, Optimise, estimated_cost
from unskip.dataflow.counts import CONVENTIONS, count_macs, num_parameters
from unskip.dataflow.devices import Device, device_named
from unskip.dataflow.memory import MemoryTimeline, forecast
from unskip.dataflow.operations import traced_once
from unskip.dataflow.schedules import SchedulePeaks, peaks_by_schedule
from unskip.dataflow.shortcuts import Shortcut, inventory, shortcut_share, shortcuts_at_the_peak

__all__ = [
    "CONVENTIONS",
    "Cost",
    "Device",
    "MemoryTimeline",
    "Optimise",
    "SchedulePeaks",
    "Shortcut",
    "count_macs",
    "device_named",
    "estimated_cost",
    "forecast",
    "inventory",
    "num_parameters",
    "peaks_by_schedule",
    "shortcut_share",
    "shortcuts_at_the_peak",
    "traced_once",
]
