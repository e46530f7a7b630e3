"""The plan of a request as a console shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text

from unskip.records import Figure, Trial
from unskip.report.table import RowContent, build
from unskip.report.terminal import show_table
from unskip.shrink.candidates import FEWEST_FADED_STEPS, method_for_steps
from unskip.shrink.lengths import TRIAL_SHARE
from unskip.shrink.plan import Plan
from unskip.shrink.shrink_request import Request
from unskip.terminal import bare_table
from unskip.units import duration


def show_plan(plan: Plan, request: Request, console: Console) -> None:
    """Print what was found of the teacher, what is to be tried, and how long it will take."""
    console.print()
    console.print(Text(_headline(plan, request), style="bold"))
    console.print()
    rows = [(each.words, _method(each), each.figures) for each in plan.trials]
    rows = rows or [(each.words, "", each.figures) for each in plan.ways_out]
    limits = {name: Figure(value=most) for name, most in request.budget.most.items()}
    shown = {*limits, *(name for _, _, figures in rows for name in figures)}
    numbered = [(str(number), figures) for number, (_, _, figures) in enumerate(rows, 1)]
    lines = [RowContent("most", figures=limits)]
    lines += [
        RowContent(label, figures=_of(figures, shown)) for label, figures in [("0", plan.teacher.figures), *numbered]
    ]
    table = build(f"what they cost, {request.target}", plan.measures, lines)
    console.print(Text(table.name, style="bold"))
    show_table(table, console)
    console.print()
    names = [("0", "the network as it is", "")]
    names += [(str(number), words, method) for number, (words, method, _) in enumerate(rows, 1)]
    console.print(bare_table("the edits and the method", ("", "~", "<"), names, head=False))
    console.print()
    for remark in _remarks(plan, request):
        console.print(Text(remark))


def _headline(plan: Plan, request: Request) -> str:
    if plan.meets:
        return f"The network meets the budget on {request.target} as it is; nothing is to be trained."
    if not plan.trials:
        return f"No student meets the budget on {request.target}; below are those that come nearest."
    count, tried = plan.num_usable, len(plan.trials)
    meet = "1 student meets" if count == 1 else f"{count} students meet"
    which = "it is" if count == 1 else "1 of them is" if tried == 1 else f"{tried} of them are"
    return f"{meet} the budget on {request.target}; {which} tried."


def _remarks(plan: Plan, request: Request) -> Iterator[str]:
    if not plan.trials:
        return
    if plan.rungs:
        sizes = ", then ".join(map(str, plan.rungs))
        yield f"Short trainings of {sizes}, {TRIAL_SHARE:.0%} of the time for training; the best of them is the winner."
    epochs = f"{plan.winner_epochs:,} epoch{'s' * (plan.winner_epochs != 1)}"
    length = epochs if plan.winner_epochs else "a part of an epoch"
    yield f"The winner is trained for about {length}, a step of the largest takes {1000 * plan.step_seconds:.0f} ms."
    asked = "" if request.seconds is None else f" of the {duration(request.seconds)} that there are"
    yield f"All of it will take about {duration(plan.estimated_seconds)}{asked}."
    if plan.teacher.weights is None:
        yield "The network has no weights: it is trained first, which is not in this estimate."


def _method(trial: Trial) -> str:
    short, usual = method_for_steps(trial, 1), trial.method or ""
    return usual if short in (None, usual) else f"{usual} ({short} in fewer than {FEWEST_FADED_STEPS:,} steps)"


def _of(figures: Mapping[str, Figure], names: set[str]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if name in names}
