"""A plan as the terminal shows it."""

import io

import pytest
from rich.console import Console

from unskip.shrink import plan_shrink
from unskip.shrink.console import show_plan


@pytest.mark.parametrize(
    ("usable", "tried", "words"),
    [
        (1, 1, "1 student meets the budget on ONNX Runtime; it is tried."),
        (5, 1, "5 students meet the budget on ONNX Runtime; 1 of them is tried."),
        (5, 2, "5 students meet the budget on ONNX Runtime; 2 of them are tried."),
    ],
)
def test_the_first_line_says_how_many_students_there_are(planned, usable, tried, words):
    request, plan = planned
    printed = io.StringIO()
    shown = plan.model_copy(update={"num_usable": usable, "trials": plan.trials[:tried]})
    show_plan(shown, request, Console(file=printed, width=100))
    assert printed.getvalue().splitlines()[1] == words


@pytest.fixture(scope="module")
def planned(ask):
    request = ask({"memory": "5KiB", "parameters": "12k"})
    plan = plan_shrink(request)
    assert len(plan.trials) > 1
    return request, plan
