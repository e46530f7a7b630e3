"""A table has what its measures say, whatever these are."""

import re
from io import StringIO

from rich.console import Console

from unskip.records import About, Figure, Speedup
from unskip.report.table import NO_DIFFERENCE, RowContent, build, definitions
from unskip.report.terminal import show_table

MEASURES = {
    "top1": About(title="Top-1", unit="share", better="higher", kind="answers", definition="Top-1: right"),
    "latency": About(title="Latency", unit="ms", better="lower", kind="time", definition="Latency: of a call"),
    "peak": About(title="Peak memory", unit="bytes", better="lower", kind="memory", definition="Peak memory: most"),
    "parity": About(title="Parity", unit="relative", better="lower", kind="file", definition="Parity: off by"),
    "energy": About(title="Energy", unit="mJ", better="lower", kind="time", definition="Energy: of a call"),
}


def timed(*samples: float) -> Figure:
    return Figure.of_samples(samples)


def entry(table, label: str, title: str):
    (row,) = [row for row in table.rows if row.content.label == label]
    return row.entries[[column.title for column in table.columns].index(title)]


def test_a_measure_that_nothing_else_knows_has_a_column_in_its_place():
    lines = [RowContent("a", figures={"energy": Figure(value=12.34), "peak": Figure(value=2048)})]
    table = build("Net", MEASURES, lines)
    assert [(column.title, column.unit) for column in table.columns] == [("Peak memory", "KiB"), ("Energy", "mJ")]
    assert entry(table, "a", "Energy")[0] == "12.34"
    assert definitions(table, table) == ["Peak memory: most", "Energy: of a call"]


def test_figures_are_compared_with_those_of_the_first_line():
    first = RowContent("first", figures={"top1": Figure(value=0.934), "peak": Figure(value=3 * 2**20)})
    better = RowContent("better", figures={"top1": Figure(value=0.9), "peak": Figure(value=2 * 2**20)})
    equal = RowContent("equal", figures={"top1": Figure(value=0.934), "peak": Figure(value=3 * 2**20 + 1)})
    table = build("Net", MEASURES, [first, better, equal])
    assert entry(table, "better", "Top-1")[1:] == ("\N{MINUS SIGN}3.40",)
    assert entry(table, "better", "Peak memory")[1:] == ("1.50\N{MULTIPLICATION SIGN} less",)
    assert entry(table, "first", "Peak memory")[1:] == ()
    assert entry(table, "equal", "Peak memory")[1:] == entry(table, "equal", "Top-1")[1:] == ()


def test_a_speedup_whose_spread_holds_one_is_never_without_the_words():
    lines = [
        RowContent("first", figures={"latency": timed(1, 1.1, 1.2)}),
        RowContent("faster", figures={"latency": timed(0.5, 0.6)}, speedup=Speedup(low=1.9, median=2.0, high=2.1)),
        RowContent("alike", figures={"latency": timed(1, 1.1)}, speedup=Speedup(low=0.9, median=1.05, high=1.1)),
    ]
    table = build("File", MEASURES, lines)
    assert [column.title for column in table.columns] == ["Latency", "Times as fast"]
    assert entry(table, "first", "Times as fast")[0] == "\N{EN DASH}"
    assert NO_DIFFERENCE not in entry(table, "faster", "Times as fast")[1:]
    assert NO_DIFFERENCE in entry(table, "alike", "Times as fast")[1:]
    assert entry(table, "faster", "Latency")[1:] == ("0.51 to 0.59",)


def test_what_is_unknown_is_a_dash_with_its_reason_once_below():
    lines = [
        RowContent("a", figures={"peak": Figure(unknown="nobody tells"), "top1": Figure(value=0.5, images=1000)}),
        RowContent("b", figures={"peak": Figure(value=1024), "top1": Figure(value=0.5, images=1000)}),
        RowContent("c", refused="it does not load", figures={}),
    ]
    table = build("File", MEASURES, lines)
    assert entry(table, "a", "Peak memory")[0] == "\N{EN DASH}"
    assert [row.entries for row in table.rows if row.content.refused] == [()]
    assert set(table.footnotes) == {"Top-1: on 1,000 images.", "Peak memory of a: nobody tells."}


def test_what_is_beyond_the_allowed_is_pointed_out():
    lines = [
        RowContent(
            "fine", figures={"parity": Figure(value=1e-6, allowed=1e-4), "top1": Figure(value=0.9, allowed=0.8)}
        ),
        RowContent("off", figures={"parity": Figure(value=1e-2, allowed=1e-4), "top1": Figure(value=0.7, allowed=0.8)}),
    ]
    table = build("File", MEASURES, lines)
    assert [len(entry(table, name, "Parity")[1:]) for name in ("fine", "off")] == [0, 1]
    assert [len(entry(table, name, "Top-1")[1:]) for name in ("fine", "off")] == [0, 2]  # beside the difference


def test_a_narrow_terminal_gets_all_columns_below_each_other():
    figures = {"top1": Figure(value=0.5), "latency": timed(1, 2), "peak": Figure(value=1024), "energy": Figure(value=7)}
    table = build("Net", MEASURES, [RowContent("net", figures=figures), RowContent("gone", refused="it does not load")])
    for width in (40, 200):
        console = Console(width=width, file=StringIO())
        show_table(table, console)
        text = console.file.getvalue()
        assert max(map(len, text.splitlines())) <= width
        assert {column.title for column in table.columns} <= set(re.split(r"  +|\n", text))
        assert "it does not load" in text


def test_lines_of_one_label_are_told_apart_in_a_terminal():
    one = {"top1": Figure(value=0.9, images=10)}
    lines = [RowContent("student", figures=one, about="onnx"), RowContent("student", figures=one, about="ncnn")]
    for rows, told in ((lines, True), (lines[:1], False)):
        console = Console(file=StringIO(), width=80)
        show_table(build("Net", MEASURES, rows), console)
        shown = console.file.getvalue()
        assert ("onnx" in shown) == told
        assert ("ncnn" in shown) == told
