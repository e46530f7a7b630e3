"""Which edits lower a network's peak of live feature maps, and which students of it meet a budget."""

from unskip.search.answer import BudgetAnswer, Candidate
from unskip.search.budget import Budget
from unskip.search.console import headline, render_answer
from unskip.search.device_plan import CompiledStudent, DevicePlan, plan_for_device, removal_groups
from unskip.search.fit import fit_budget
from unskip.search.on_device import MAX_COMPILED
from unskip.search.plan import PlanLine, plan
from unskip.search.would_meet import WouldMeet

__all__ = [
    "MAX_COMPILED",
    "Budget",
    "BudgetAnswer",
    "Candidate",
    "CompiledStudent",
    "DevicePlan",
    "PlanLine",
    "WouldMeet",
    "fit_budget",
    "headline",
    "plan",
    "plan_for_device",
    "removal_groups",
    "render_answer",
]
