"""The answer to a budget as a console shows it: tables and fixed sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_lowercase

from rich.console import Console
from rich.text import Text

from unskip.dataflow.memory import policy
from unskip.records import About, Figure
from unskip.report.table import RowContent, Table, build
from unskip.report.terminal import show_table
from unskip.search.answer import BudgetAnswer, Candidate
from unskip.search.recipes import command, export_command
from unskip.terminal import bare_table

_SHORTCUTS = About(title="Shortcuts", unit="count", better="lower", kind="size", definition="Shortcuts that are left")


def headline(answer: BudgetAnswer) -> str:
    """What the answer comes to."""
    net, own = answer.net, answer.own.verdict
    if not answer.fits:
        return f"No student of {net} meets the budget: {_why_not(answer)}."
    usable = [candidate.verdict for candidate in answer.candidates if candidate.is_usable]
    spread = "the spread of a figure covers its limit"
    sentences = {
        f"{net} meets the budget as it is.": own == "meets",
        f"{net} may meet the budget as it is: {spread}.": own == "borderline",
        f"Students of {net} that meet the budget: {answer.num_usable} ({len(usable)} listed).": usable,
        f"Borderline, as {spread}: {usable.count('borderline')} of those listed.": "borderline" in usable,
    }
    return " ".join(sentence for sentence, applies in sentences.items() if applies)


def _why_not(answer: BudgetAnswer) -> str:
    never = [
        name for name, each in answer.smallest.items() if (each.figures[name].value or 0) > answer.budget.most[name]
    ]
    if never:
        return f"no student is within the limits of {_limits(answer, never)}"
    if not answer.num_searched:
        return "no edit that saves anything fits this network"
    if not answer.num_within:
        return "each limit can be met, but not all of them at once"
    refused = [candidate.refused for candidate in answer.candidates]
    if all(refused):
        return f"none of the {answer.num_measured} that were tried could be exported ({''.join(refused[:1])})"
    exceeded = _limits(answer, [name for candidate in answer.candidates for name in candidate.exceeded])
    tried = "measured" if answer.device is None else "compiled"
    return f"all of the {answer.num_measured} that were {tried} exceed {exceeded}"


def _limits(answer: BudgetAnswer, names: Sequence[str]) -> str:
    return ", ".join(answer.budget.limit_of(name) for name in dict.fromkeys(names))


def render_answer(answer: BudgetAnswer, console: Console, written: Sequence[Path] = ()) -> None:
    """Print an answer: what it comes to, what each candidate costs, its edits and method, and how to run the first.

    Where there is none, those that come nearest take their place. ``written`` are the recipes that stand in files, the
    one of the first candidate first.
    """
    rows = [("", candidate) for candidate in answer.candidates]
    rows = rows or [(f"nearest to {words}", candidate) for words, candidate in answer.near]
    costs = _costs(answer, [answer.own, *(candidate for _, candidate in rows)])
    console.print(Text(headline(answer), style="bold"))
    console.print()
    console.print(Text(costs.name, style="bold"))
    show_table(costs, console)
    console.print()
    if not answer.fits:
        _show_what_would_meet(answer, console)
    told = any(candidate.verdict != "meets" for _, candidate in rows)
    lines: list[tuple[str, ...]] = [("0", f"{answer.net} as it is", "", answer.own.verdict if told else "")]
    for number, (words, candidate) in enumerate(rows, start=1):
        verdict = " ".join((candidate.verdict, _limits(answer, candidate.exceeded))) if told else ""
        lines.append((str(number), str(candidate.student), candidate.method or "", words or verdict))
    console.print(bare_table("the edits and the method", ("", "~", "<", "~"), lines, head=False))
    console.print()
    if answer.load is not None and answer.load.warning:
        console.print(Text(f"Warning: {answer.load.warning}.", style="yellow"))
    for remark in _remarks(answer):
        console.print(Text(remark, style="dim"))
    if answer.best is not None and answer.best.recipe is not None:
        console.print()
        console.print(Text("Line 1 is run by", style="bold"))
        line = command(answer.best.recipe, written[0]) if written else answer.best.command
        console.print(Text(line or ""), soft_wrap=True)
        if answer.device is not None:
            console.print(Text("and then, for the device, by", style="bold"))
            console.print(Text(export_command(answer.device)), soft_wrap=True)
    if written:
        console.print(Text(f"recipes in {written[0].parent}: {len(written)}"))


def _show_what_would_meet(answer: BudgetAnswer, console: Console) -> None:
    """What would meet the budget, with figures, or that nothing is known that would; nothing where nobody looked."""
    if not answer.would_meet and answer.device is None and not answer.budget.most.keys() <= answer.smallest.keys():
        return
    if not answer.would_meet:
        console.print(Text("Neither smaller images nor 8 bits are known to meet it."))
        console.print()
        return
    named = dict(zip(ascii_lowercase, answer.would_meet, strict=False))
    lines = [RowContent(letter, figures=dict(each.figures)) for letter, each in named.items()]
    table = build("what would meet the budget", answer.measures, lines)
    console.print(Text(table.name, style="bold"))
    show_table(table, console)
    console.print()
    rows = [(letter, each.words, str(each.student)) for letter, each in named.items()]
    console.print(bare_table("the change and the student then", ("", "<", "~"), rows, head=False))
    console.print()


def _costs(answer: BudgetAnswer, candidates: Sequence[Candidate]) -> Table:
    """In the first row what the budget allows, which the others are compared with, then a row for each candidate."""
    lines = [RowContent("most", figures={name: Figure(value=limit) for name, limit in answer.budget.most.items()})]
    for number, candidate in enumerate(candidates):
        shortcuts = {"shortcuts": Figure(value=candidate.student.shortcuts)}
        lines.append(RowContent(str(number), figures={**candidate.figures, **shortcuts}))
    image = "x".join(map(str, answer.input_shape))
    return build(f"what they cost, image {image}", {**answer.measures, "shortcuts": _SHORTCUTS}, lines)


def _remarks(answer: BudgetAnswer) -> Iterator[str]:
    """What the figures are and what was left out."""
    if answer.num_within < answer.num_searched or answer.num_thinned:
        yield f"{answer.num_within} of {answer.num_searched} students are within the limits that are counted."
    if answer.num_thinned:
        yield (
            f"{answer.num_thinned} of them are left out: for each, another student with the same kinds of edits, or "
            "fewer, changes less and is no larger in any limited figure."
        )
    if answer.candidates:
        yield "First come those that keep the most MACs, then shortcuts, then parameters."
    if "peak" in answer.measures:
        yield f"Feature maps: {policy(True, answer.budget.bytes_per_element)}."
    if answer.device is not None and answer.runtime is not None:
        yield f"Compiled: {answer.num_measured} students beside line 0."
        if answer.num_left:
            yield f"Not compiled: {answer.num_left}, which a forecast, corrected by those that were, puts behind them."
        yield (
            f"Estimated by {answer.runtime} for {answer.device}, 8 bits, batch 1, random weights; nothing was measured "
            "on a device."
        )
    elif answer.runtime is not None:
        yield (
            f"Measured: {answer.num_measured} students beside line 0, {answer.runtime}, {answer.threads} thread(s), "
            "batch 1, float32 files of untrained networks; medians with the 10th to 90th percentile."
        )
    if "file_bytes" in answer.budget.most:
        yield f"A file that was not exported is counted as its weights alone, {answer.budget.element}."
    if any(candidate.student.sub_net for candidate in answer.candidates):
        yield "Sub-nets of one network share its weights: one run trains all that are listed."
    if answer.skipped:
        yield f"Kinds of edits that do not fit this network: {sum(answer.skipped.values())}; the JSON says why."
    if answer.unknown:
        yield f"{answer.net}: {answer.unknown}, and no student loses these."
    yield "Accuracy is not forecast: train and measure."
