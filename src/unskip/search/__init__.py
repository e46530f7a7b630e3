"""Which edits lower a network's peak of live feature maps, and which students of it meet a budget."""

from unskip.search.budget import ELEMENTS, Budget
from unskip.search.fit import Fit, Line, fit_budget
from unskip.search.plan import PlanLine, plan
from unskip.search.words import render_fit, verdict

__all__ = ["ELEMENTS", "Budget", "Fit", "Line", "PlanLine", "fit_budget", "plan", "render_fit", "verdict"]
