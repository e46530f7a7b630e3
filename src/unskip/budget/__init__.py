"""Which students meet a budget of memory, size and latency, before anyone trains them."""

from unskip.budget.fit import Fit, Line, fit_budget
from unskip.budget.limits import ELEMENTS, Budget, parse_bytes, parse_count
from unskip.budget.words import render_fit, verdict

__all__ = ["ELEMENTS", "Budget", "Fit", "Line", "fit_budget", "parse_bytes", "parse_count", "render_fit", "verdict"]
