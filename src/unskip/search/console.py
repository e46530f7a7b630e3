"""The answer to a budget as a console shows it: tables and fixed sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unskip.dataflow.memory import policy
from unskip.records import Figure
from unskip.search.answer import BudgetAnswer, Candidate
from unskip.search.recipes import command, command_for
from unskip.terminal import bare_table
from unskip.units import writer

__all__ = ["headline", "render_answer"]

_NONE = "No student of {net} meets the budget"
_NO_EDIT = f"{_NONE}: no edit that saves anything fits this network."
_NEVER = f"{_NONE}: no student is within the limits of {{never}}."
_NOT_TOGETHER = f"{_NONE}: each limit can be met, but not all of them at once."
_NO_FILE = f"{_NONE}: none of the {{measured}} that were tried could be exported ({{refused}})."
_MEASURED = f"{_NONE}: all of the {{measured}} that were measured exceed {{exceeded}}."
_OWN = "{net} meets the budget as it is."
_OWN_BORDERLINE = "{net} may meet the budget as it is: the spread of a figure covers its limit."
_STUDENTS = "Students of {net} that meet the budget: {meeting} ({shown} listed)."
_BORDERLINE = "Borderline, as the spread of a figure covers its limit: {borderline} of those listed."

_WITHIN = "{within} of {searched} students are within the limits that are counted."
_THINNED = (
    "{thinned} of them are left out, as another one, made by no other kinds of edits, changes less and is no larger in "
    "any limited figure."
)
_ORDER = "First come those that keep the most MACs, then shortcuts, then parameters."
_PEAK = "Feature maps: {policy}."
_FILES = (
    "Measured: {measured} students beside line 0, {runtime}, {threads} thread(s), batch 1, float32 files of untrained "
    "networks; medians with the 10th to 90th percentile."
)
_FILE_SIZE = "A file that was not exported is counted as its weights alone, {element}."
_SUB_NETS = "Sub-nets of one network share its weights: one run trains all that are listed."
_SKIPPED = "Kinds of edits that do not fit this network: {skipped}; the JSON says why."
_UNKNOWN = "{net}: {unknown}, and no student loses these."
_LAST = "Accuracy is not forecast: train and measure."


def headline(answer: BudgetAnswer) -> str:
    """What the answer comes to."""
    usable = [candidate.verdict for candidate in answer.candidates if candidate.is_usable]
    if answer.fits:
        own = {"meets": _OWN, "borderline": _OWN_BORDERLINE}.get(answer.own.verdict, "")
        templates = [own, _STUDENTS if usable else "", _BORDERLINE if "borderline" in usable else ""]
    else:
        templates = [_why_not(answer)]
    return " ".join(filter(None, templates)).format(
        net=answer.net,
        meeting=answer.num_usable,
        shown=len(usable),
        borderline=usable.count("borderline"),
        measured=answer.num_measured,
        never=_limits(answer, _never(answer)),
        refused=next((candidate.refused for candidate in answer.candidates if candidate.refused), ""),
        exceeded=_limits(answer, [name for candidate in answer.candidates for name in candidate.exceeded]),
    )


def _why_not(answer: BudgetAnswer) -> str:
    if _never(answer):
        return _NEVER
    if not answer.num_searched:
        return _NO_EDIT
    if not answer.num_within:
        return _NOT_TOGETHER
    return _NO_FILE if all(candidate.refused for candidate in answer.candidates) else _MEASURED


def _never(answer: BudgetAnswer) -> list[str]:
    """The limits that no student is within, whatever the others are."""
    return [
        name
        for name, limit in answer.budget.most.items()
        if name in answer.smallest and (answer.smallest[name].figures[name].value or 0) > limit
    ]


def _limits(answer: BudgetAnswer, names: Sequence[str]) -> str:
    return ", ".join(answer.budget.limit_of(name) for name in dict.fromkeys(names))


def render_answer(answer: BudgetAnswer, console: Console, written: Sequence[Path] = ()) -> None:
    """Print an answer: what it comes to, what each candidate costs, its edits and method, and how to run the first.

    Where there is none, those that come nearest take their place. ``written`` are the recipes that stand in files, the
    one of the first candidate first.
    """
    rows = [("", candidate) for candidate in answer.candidates]
    rows = rows or [(f"nearest to {words}", candidate) for words, candidate in answer.near]
    console.print(Text(headline(answer), style="bold"))
    console.print()
    console.print(_costs(answer, [answer.own, *(candidate for _, candidate in rows)]))
    console.print()
    console.print(_students(answer, rows))
    console.print()
    if answer.load is not None and answer.load.warning:
        console.print(Text(f"Warning: {answer.load.warning}.", style="yellow"))
    for remark in _remarks(answer):
        console.print(Text(remark, style="dim"))
    if answer.best is not None and answer.best.recipe is not None:
        console.print()
        console.print(Text("Line 1 is run by", style="bold"))
        words = command_for(written[0], answer.best.recipe) if written else command(answer.best.recipe)
        console.print(Text(words), soft_wrap=True)
    if written:
        console.print(Text(f"recipes in {written[0].parent}: {len(written)}"))


def _costs(answer: BudgetAnswer, lines: Sequence[Candidate]) -> Table:
    """A column for every measure; in the first row what the budget allows, then the network, then each candidate."""
    heads, columns = [], []
    for name, about in answer.measures.items():
        figures = [line.figures.get(name, Figure()) for line in lines]
        most = answer.budget.most.get(name)
        unit, write = writer(about.unit, [each.value for each in figures if each.value is not None])
        heads.append(f"{about.title}\n{unit}")
        columns.append(["-" if most is None else write(most), *(_cell(figure, write) for figure in figures)])
    shortcuts = ["-", *(str(line.student.shortcuts) for line in lines)]
    numbers = ["most", *map(str, range(len(lines)))]
    image = "x".join(map(str, answer.input_shape))
    title = f"what they cost, image {image}"
    return bare_table(title, ("", *heads, "shortcuts"), zip(numbers, *columns, shortcuts, strict=True))


def _cell(figure: Figure, write: Callable[[float], str]) -> str:
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return write(figure.value)
    return f"{write(figure.value)}\n{write(figure.low)} to {write(figure.high)}"


def _students(answer: BudgetAnswer, rows: Sequence[tuple[str, Candidate]]) -> Table:
    """The edits in words, the method that trains the student; the verdict only where one of them is not to meet."""
    told = any(candidate.verdict != "meets" for _, candidate in rows)
    lines: list[tuple[str, str, str, str]] = [("0", f"{answer.net} as it is", "", answer.own.verdict if told else "")]
    for number, (words, candidate) in enumerate(rows, start=1):
        verdict = " ".join((candidate.verdict, _limits(answer, candidate.exceeded))) if told else ""
        lines.append((str(number), str(candidate.student), candidate.method or "", words or verdict))
    return bare_table("the edits and the method", ("", "~", "<", "~"), lines, head=False)


def _remarks(answer: BudgetAnswer) -> Iterator[str]:
    """What the figures are and what was left out."""
    counted = answer.num_within < answer.num_searched or answer.num_thinned
    measured = answer.runtime is not None
    templates = {
        _WITHIN: counted and answer.num_searched,
        _THINNED: counted and answer.num_thinned,
        _ORDER: answer.candidates,
        _PEAK: True,
        _FILES: measured,
        _FILE_SIZE: "file_bytes" in answer.budget.most,
        _SUB_NETS: any(candidate.student.sub_net for candidate in answer.candidates),
        _SKIPPED: answer.skipped,
        _UNKNOWN: answer.unknown,
        _LAST: True,
    }
    for template, applies in templates.items():
        if applies:
            yield template.format(
                within=answer.num_within,
                searched=answer.num_searched,
                thinned=answer.num_thinned,
                policy=policy(True, answer.budget.bytes_per_element),
                measured=answer.num_measured,
                runtime=answer.runtime,
                threads=answer.threads,
                element=answer.budget.element,
                skipped=sum(answer.skipped.values()),
                net=answer.net,
                unknown=answer.unknown,
            )
