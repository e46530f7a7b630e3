"""Which edits lower a network's peak of live feature maps, and which students of it meet a budget."""

from unskip.search.answer import BudgetAnswer, Candidate
from unskip.search.budget import Budget
from unskip.search.console import headline, render_answer
from unskip.search.fit import fit_budget
from unskip.search.plan import PlanLine, plan

__all__ = ["Budget", "BudgetAnswer", "Candidate", "PlanLine", "fit_budget", "headline", "plan", "render_answer"]
