"""Which edits lower a network's peak of live feature maps."""

from unskip.planning.search import PlanLine, plan
from unskip.planning.words import advice, plan_to_json, render_plan

__all__ = ["PlanLine", "advice", "plan", "plan_to_json", "render_plan"]
