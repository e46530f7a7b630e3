"""A finished run as one page: ``run.json`` to ``report.html``, without torch."""

from unskip.report.page import write_report
from unskip.report.record import Run
from unskip.report.summary import summarise

__all__ = ["Run", "summarise", "write_report"]
