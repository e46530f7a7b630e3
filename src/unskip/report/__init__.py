"""Pages and the terminal of runs, shrinks, studies and benchmarks, from their records alone; none imports torch."""

from unskip.report.model_card import write_model_card
from unskip.report.pages import (
    report_of,
    write_bench_report,
    write_past_runs,
    write_report,
    write_report_so_far,
    write_run_analysis,
)
from unskip.report.studies import show_study, write_study
from unskip.report.terminal import show_bench, show_eight_bits, show_past_runs, show_run, show_run_analysis, show_shrink

__all__ = [
    "report_of",
    "show_bench",
    "show_eight_bits",
    "show_past_runs",
    "show_run",
    "show_run_analysis",
    "show_shrink",
    "show_study",
    "write_bench_report",
    "write_model_card",
    "write_past_runs",
    "write_report",
    "write_report_so_far",
    "write_run_analysis",
    "write_study",
]
