"""Results as pages: a run's ``run.json``, a benchmark's figures, without torch."""

from unskip.report.bench_page import write_bench_report
from unskip.report.page import write_report
from unskip.report.record import Run
from unskip.report.summary import summarise

__all__ = ["Run", "summarise", "write_bench_report", "write_report"]
