"""What ``run.json``, ``shrink.json``, ``study.json`` and a benchmark's JSON file hold, as typed data; no torch."""

from unskip.records.answers import Answer, Answers, ClassAnswers, Confusion, Disagreement
from unskip.records.comparison import Cell, Comparison, Group, Load, Subject
from unskip.records.eight_bits import EightBits, read_eight_bits
from unskip.records.estimate import Estimate, Layer, Traffic
from unskip.records.figures import About, Figure, Operation, Record, Speedup, Timeline, TimeShare, speedup, time_share
from unskip.records.past_runs import PastRun, PastRuns, Training
from unskip.records.run import Data, Epoch, Net, Run
from unskip.records.run_analysis import RunAnalysis, read_run_analyses
from unskip.records.shrink import Rung, Shrink, Teacher, Trial, WayOut, Winner
from unskip.records.study import Counted, Derived, Entry, Order, Study, StudyCell

__all__ = [
    "About",
    "Answer",
    "Answers",
    "Cell",
    "ClassAnswers",
    "Comparison",
    "Confusion",
    "Counted",
    "Data",
    "Derived",
    "Disagreement",
    "EightBits",
    "Entry",
    "Epoch",
    "Estimate",
    "Figure",
    "Group",
    "Layer",
    "Load",
    "Net",
    "Operation",
    "Order",
    "PastRun",
    "PastRuns",
    "Record",
    "Run",
    "RunAnalysis",
    "Rung",
    "Shrink",
    "Speedup",
    "Study",
    "StudyCell",
    "Subject",
    "Teacher",
    "TimeShare",
    "Timeline",
    "Traffic",
    "Training",
    "Trial",
    "WayOut",
    "Winner",
    "read_eight_bits",
    "read_run_analyses",
    "speedup",
    "time_share",
]
