"""From a budget to a proven file."""

from unskip.shrink.console import show_plan
from unskip.shrink.lengths import PRESETS, Preset
from unskip.shrink.plan import Plan
from unskip.shrink.shrink_request import Request, base_recipe
from unskip.shrink.shrinking import plan_shrink, shrink

__all__ = ["PRESETS", "Plan", "Preset", "Request", "base_recipe", "plan_shrink", "show_plan", "shrink"]
