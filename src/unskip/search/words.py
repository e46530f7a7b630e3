"""The answer to a budget as a table and in sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unskip.search.fit import Fit, Line
from unskip.search.recipes import command, command_for
from unskip.search.timing import Timed
from unskip.units import Unit, byte_unit
from unskip.units import operations as macs_text

__all__ = ["render_fit", "verdict"]


def verdict(fit: Fit) -> str:
    """What the answer comes to; where nothing meets the budget, one sentence with what comes nearest."""
    if not fit.fits:
        return f"No student of {fit.name} meets the budget: {_why_not(fit)}."
    said = []
    if fit.own.is_usable:
        borderline = " (borderline)" if fit.own.verdict == "borderline" else ""
        said.append(f"{fit.name} meets the budget as it is{borderline}: {_own_figures(fit)}.")
    if fit.num_usable:
        who = f"{fit.num_usable} student{'' if fit.num_usable == 1 else 's'} of {fit.name}"
        what = "it with lower figures" if fit.own.is_usable else "the budget"
        shown = sum(line.is_usable for line in fit.lines)
        listed = f"; {shown} are listed" if shown < fit.num_usable else ""
        perhaps = sum(line.verdict == "borderline" for line in fit.lines)
        if perhaps == shown:
            said.append(f"{who} may meet {what}, the spread of the latency covering the limit{listed}.")
        else:
            said.append(f"{who} meet{'s' if fit.num_usable == 1 else ''} {what}{listed}.")
            if perhaps:
                are = "is" if perhaps == 1 else "are"
                said.append(f"{perhaps} of those listed {are} borderline: the spread of the latency covers the limit.")
    return " ".join(said)


def _own_figures(fit: Fit) -> str:
    said = [f"{_figure(name, fit.own.figures[name])} of {_value(name, limit)}" for name, limit in _limits(fit)]
    if fit.budget.latency_ms is not None and fit.own.timed and fit.own.timed.latency:
        said.append(f"{fit.own.timed.latency.value:.2f} ms of {fit.budget.latency_ms:g}")
    return ", ".join(said)


def _why_not(fit: Fit) -> str:
    """Which limit fails, and what comes nearest to it."""
    never = [
        f"the smallest {_figure(name, line.figures[name], between='found is')} ({line.student}), "
        f"and {_value(name, limit)} is the limit"
        for name, limit in _limits(fit)
        if (line := fit.smallest[name]).figures[name] > limit
    ]
    if never:
        return "; ".join(never)
    if not fit.searched:
        return "no edit that saves anything fits this network"
    if not fit.within_forecast:
        figures = ", ".join(_figure(name, fit.nearest.figures[name]) for name, _ in _limits(fit))
        each = "; ".join(
            f"the smallest {_figure(name, line.figures[name], between='is')} ({line.student})"
            for name, line in fit.smallest.items()
        )
        return (
            f"each limit can be met, but not all of them at once; nearest to all comes {fit.nearest.student} with "
            f"{figures}; {each}"
        )
    if fit.fastest is None or fit.fastest.timed is None:
        reasons = [line.timed.failure for line in fit.lines if line.timed and line.timed.failure]
        return (
            f"none of the {fit.num_timed} that were tried could be exported ({reasons[0]})"
            if reasons
            else "none is left"
        )
    if any(line.verdict == "file too large" for line in fit.lines):
        smallest = min(line.timed.file_bytes for line in fit.lines if line.timed and line.timed.file_bytes)
        return f"the smallest of the {fit.num_timed} files exported has {_value('file_bytes', smallest)}"
    return (
        f"the fastest of the {fit.num_timed} that were timed takes {_latency(fit.fastest.timed)} "
        f"({fit.fastest.student}), and {_latency_limit(fit)} is the limit"
    )


def _limits(fit: Fit) -> list[tuple[str, int]]:
    return list(fit.budget.forecast.items())


def _figure(name: str, count: int, between: str = "") -> str:
    """``peak 1.53 MiB``, or with words between: ``peak found is 1.53 MiB``."""
    words = {"peak_bytes": "peak", "parameters": "number of parameters", "macs": "number of MACs", "file_bytes": "file"}
    return f"{words[name]} {between}{' ' * bool(between)}{_value(name, count)}"


def _value(name: str, count: int) -> str:
    if name == "macs":
        return macs_text(count) if count >= 10**7 else f"{count:,}"
    if name == "parameters":
        return f"{count:,}"
    return byte_unit([count]).text(count)


def _unit(fit: Fit) -> Unit:
    return byte_unit([fit.own.figures["peak_bytes"]])


def _latency(timed: Timed) -> str:
    assert timed.latency is not None
    assert timed.ratio is not None
    return f"{timed.latency.value:.2f} ms, {_ratio(timed)} of the network's own time"


def _ratio(timed: Timed) -> str:
    assert timed.ratio is not None
    return f"{timed.ratio.median:.2f} ({timed.ratio.low:.2f}-{timed.ratio.high:.2f})"


def _latency_limit(fit: Fit) -> str:
    limits = [] if fit.budget.latency_ms is None else [f"{fit.budget.latency_ms:g} ms"]
    limits += [] if fit.budget.latency_ratio is None else [f"a ratio of {fit.budget.latency_ratio:g}"]
    return " and ".join(limits)


def render_fit(fit: Fit, console: Console, written: Sequence[Path] = ()) -> None:
    """Print an answer: what it comes to, what each line costs, its edits and method, and how to run the first.

    ``written`` are the recipes that stand in files, the one of the first line first.
    """
    console.print(Text(verdict(fit), style="bold"))
    console.print()
    image = "x".join(map(str, fit.input_shape))
    console.print(Text(f"what they cost, image {image}", style="bold"))
    console.print(_costs(fit))
    if _rows(fit):
        console.print()
        console.print(
            Text("the edits, and the method that trains the student" if fit.lines else "the edits", style="bold")
        )
        console.print(_students(fit))
    console.print()
    for remark in _remarks(fit):
        console.print(Text(remark, style="dim"))
    if fit.best is not None and fit.best.recipe is not None:
        console.print()
        console.print(Text("Line 1 is run by", style="bold"))
        words = command_for(written[0], fit.best.recipe) if written else command(fit.best.recipe)
        console.print(Text(words), soft_wrap=True)
    if written:
        console.print(Text(f"{len(written)} recipe{'s' if len(written) > 1 else ''} in {written[0].parent}"))


def _costs(fit: Fit) -> Table:
    """A row for the network and for each line; columns for what was measured only where something was."""
    unit = _unit(fit)
    columns: dict[str, Callable[[Line], str]] = {
        unit.name: lambda line: unit.number(line.figures["peak_bytes"]),
        "shortcuts": lambda line: str(line.student.shortcuts),
        "MACs": lambda line: macs_text(line.figures["macs"]),
        "parameters": lambda line: f"{line.figures['parameters']:,}",
    }
    if fit.runtime is not None:
        columns["ms"] = lambda line: f"{_of(line).latency.value:.2f}" if _of(line).latency else "-"  # type: ignore[union-attr]
        columns["ratio"] = lambda line: _ratio(_of(line)) if _of(line).ratio else "-"
    if fit.budget.file_bytes is not None:
        columns["file"] = lambda line: _value("file_bytes", _of(line).file_bytes or line.figures["file_bytes"])
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for number, line in enumerate((fit.own, *_rows(fit))):
        table.add_row(str(number), *(cell(line) for cell in columns.values()))
    return table


def _rows(fit: Fit) -> tuple[Line, ...]:
    """What is shown: the lines, or what comes nearest where there is none."""
    return fit.lines or fit.near


def _of(line: Line) -> Timed:
    return line.timed or Timed()


def _students(fit: Fit) -> Table:
    """The edits in words; what is wrong with a line only where something is with one of them."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    told = any(line.verdict != "meets" for line in _rows(fit))
    for number, line in enumerate((fit.own, *_rows(fit))):
        name = str(line.student) if number else f"{fit.name} as it is"
        table.add_row(str(number), Text(name), line.method or "", line.verdict if told else "")
    return table


def _remarks(fit: Fit) -> list[str]:
    """What the figures are and what was left out."""
    said = []
    if fit.budget.forecast and fit.searched:
        counted = f"{fit.within_forecast} of {fit.searched} students are within the limits that are counted"
        are = "is" if fit.thinned == 1 else "are"
        thinned = (
            f"; {fit.thinned} of them {are} left out, as another one, made by no other kinds of edits, changes less "
            "and is no larger in any limited figure"
        )
        said.append(f"{counted}{thinned if fit.thinned else ''}.")
    if fit.lines:
        said.append("First come those that keep the most MACs, then shortcuts, then parameters.")
    element = fit.budget.element
    said.append(f"Peak: live feature maps, {element}, batch 1, BatchNorm folded, element-wise operations in place.")
    if fit.runtime is not None:
        threads = f"{fit.threads} thread{'s' if fit.threads > 1 else ''}"
        said.append(
            f"Latency: {fit.runtime}, {threads}, batch 1, float32 files of untrained networks, median and the ratio to "
            f"line 0 from 10th to 90th percentile; {fit.num_timed} students were timed."
        )
    if fit.budget.file_bytes is not None:
        where = " where no file was exported" if fit.runtime is not None and element == "float32" else ""
        said.append(f"File: that of the weights alone, {element}{where}.")
    if any(line.student.sub_net for line in fit.lines):
        said.append("Sub-nets of one network share its weights: one run trains all that are listed.")
    if fit.skipped:
        count = sum(fit.skipped.values())
        edits = "1 kind of edit does" if count == 1 else f"{count} kinds of edits do"
        said.append(f"{edits} not fit this network; --json says why.")
    if fit.unknown:
        said.append(f"{fit.name}: {fit.unknown}, and no student loses these.")
    said.append("Accuracy is not forecast: train and measure.")
    return said
