"""What the tables of runs and benchmarks are made of: nets by themselves, and their files in each setting."""

from __future__ import annotations

from unskip.records import About, Comparison, Figure, Group, Net, Run, Subject
from unskip.report.drawings import colors_of
from unskip.report.table import RowContent, Table, build

_TRAINING = About(
    title="Training",
    unit="seconds",
    better="lower",
    kind="time",
    definition="Training: the time from the first epoch to the last, validation included",
)

DECISIVE = ("latency", "cycles", "peak", "sram", "dram_traffic", "file_bytes")
"""The costs that a terminal shows unasked."""


def about(comparison: Comparison, subject: Subject) -> str:
    """What a subject is besides its label: its net and shortcuts, and what sets it apart from the others."""
    words = [subject.net] if subject.net and subject.net != subject.label else []
    if subject.shortcuts:
        words.append(f"{subject.shortcuts} shortcut{'s' * (subject.shortcuts != 1)}")
    if subject.unopened:
        words.append(f"those of {subject.unopened} modules unknown")
    if subject.precision != "float32":
        words.append(subject.precision)
    if any(other.input_shape != subject.input_shape for other in comparison.subjects):
        words.append(f"images {shape_of(subject.input_shape)}")
    return ", ".join(words)


def shape_of(shape: tuple[int, ...]) -> str:
    """``3×224×224``."""
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))


def setting_of(group: Group, *, version: bool = True) -> str:
    """``ONNX Runtime 1.31.1, 1 thread, batch 1``, or a device and whose estimate it is."""
    if group.target is not None:
        return f"{group.target}, estimated by {group.runtime}"
    runtime = group.runtime if version else group.runtime.rpartition(" ")[0]
    threads = f"{group.threads} thread{'s' * (group.threads != 1)}"
    device = "" if group.device == "cpu" else f", {group.device}"
    return f"{runtime}{device}, {threads}, batch {group.batch_size}"


def nets_table(comparison: Comparison, run: Run | None = None) -> Table:
    """The subjects' networks by themselves; those of a run with how they were trained, the best student marked."""
    colors, lines = colors_of(comparison), []
    for subject in comparison.subjects:
        words, figures, mark = about(comparison, subject), subject.figures, ""
        if run is not None:
            net = next(net for net in run.nets if net.label == subject.label)
            words += f", {net.epochs} epoch{'s' * (net.epochs != 1)}"
            figures = {**figures, "training": _training(run, net)}
            mark = "best student" if net.label == run.best else ""
        lines.append(RowContent(subject.label, words, figures, color=colors[subject.label], mark=mark))
    return build("Net", {**comparison.measures, "training": _TRAINING}, lines)


def _training(run: Run, net: Net) -> Figure:
    if net.reused or net.seconds is None:
        return Figure(unknown="not in this run")
    validated = run.validated(net)
    return Figure(value=net.seconds) if validated == net else Figure(unknown=f"that of {validated.label}")


def files_table(comparison: Comparison, group: Group, *, short: bool = False) -> Table:
    """The subjects' files in a setting; ``short``: how well they do, and the costs that decide."""
    measures = comparison.measures
    if short:
        answers = [name for name, about in measures.items() if about.kind == "answers"][:1]
        measures = {name: about for name, about in measures.items() if name in (*answers, *DECISIVE)}
    colors = colors_of(comparison)
    lines = [
        RowContent(cell.subject, cell.file or "", cell.figures, cell.speedup, cell.refused, colors[cell.subject])
        for cell in group.cells
    ]
    return build("File", measures, lines)
