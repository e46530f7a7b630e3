"""A benchmark's figures as text, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from unskip.report.bench_record import Bench, Cell, Group, Ratio
from unskip.report.tables import DASH, Column
from unskip.units import SPACE, Unit, byte_unit, milliseconds, small, times

__all__ = [
    "DEFINITIONS",
    "NO_DIFFERENCE",
    "Figure",
    "Row",
    "columns",
    "conclusions",
    "footnotes",
    "headline",
    "rows",
    "setting_of",
    "shape_text",
]

NO_DIFFERENCE = "no difference shown"
SAME = "the same"

DEFINITIONS = {
    "forecast": "Forecast: live feature maps of the whole batch, computed from the network",
    "arena": "Arena: what ExecuTorch's planner sets aside for feature maps, float32, portable kernels",
    "resident": "Resident: by how much the process grew from before it loaded the file to its highest, which holds "
    "weights and the runtime's own buffers too",
    "device": "Device: the most that the process held on the GPU, weights included",
}
_FIELDS = {
    "forecast": "forecast_bytes",
    "arena": "arena_bytes",
    "resident": "resident_rise_bytes",
    "device": "device_peak_bytes",
}


@dataclass(frozen=True)
class Figure:
    """A number, and the lines below it in small."""

    text: str
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One subject's figures in one setting; without figures where it was refused."""

    label: str
    about: str
    figures: tuple[Figure, ...]
    refused: str | None


def setting_of(group: Group, *, version: bool = True) -> str:
    """``ONNX Runtime 1.31.1, 1 thread, batch 1``."""
    runtime = group.runtime if version else group.runtime.rpartition(" ")[0]
    threads = f"{group.threads} thread{'s' * (group.threads != 1)}"
    device = "" if group.device == "cpu" else f", {group.device}"
    return f"{runtime}{device}, {threads}, batch {group.batch_size}"


def shape_text(shape: tuple[int, int, int]) -> str:
    """``3×224×224``."""
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))


def columns(group: Group) -> list[Column]:
    """The headings of :func:`rows` and their units."""
    return [
        Column("Latency", "ms, 10th to 90th"),
        Column("Throughput", "images/s"),
        Column("Times as fast", "as the first"),
        *(Column(name.capitalize(), _unit(group, name).name) for name in _memories(group)),
        Column("File", _file_unit(group).name),
        Column("Top-1", "%"),
        Column("Parity", "relative"),
    ]


def rows(bench: Bench, group: Group) -> list[Row]:
    """One row for each subject, in the order of the command line."""
    about = {subject.label: _about(bench, subject.label) for subject in bench.subjects}
    return [
        Row(cell.subject, about[cell.subject], () if cell.refused else _figures(group, cell), cell.refused)
        for cell in group.cells
    ]


def footnotes(group: Group) -> list[str]:
    """What the dashes of a table mean, and on what parity was found."""
    about: dict[str, list[str]] = {}  # a remark, and the subjects that it is about
    for cell in group.cells:
        if cell.latency is not None:
            for remark in _remarks(cell):
                about.setdefault(remark, []).append(cell.subject)
    measured = [cell.subject for cell in group.cells if cell.latency]
    return [
        f"{remark[0].upper()}{remark[1:]}." if subjects == measured else f"{', '.join(subjects)}: {remark}."
        for remark, subjects in about.items()
    ]


def _remarks(cell: Cell) -> Iterator[str]:
    names = {field: name for name, field in _FIELDS.items()}
    unknown: dict[str, list[str]] = {}
    for field, reason in cell.memory.unknown.items() if cell.memory else ():
        unknown.setdefault(reason, []).append(names[field])
    for reason, definitions in unknown.items():
        yield f"{' and '.join(definitions)} unknown: {reason}"
    if cell.no_accuracy:
        yield f"no accuracy: {cell.no_accuracy}"
    if cell.parity is None:
        yield "no parity: the file was not exported here"
    else:
        yield f"parity on {cell.parity.images} {'test' if cell.parity.real_images else 'random'} images"


def headline(bench: Bench) -> str:
    """The fastest of the others against the first, in the first setting that has both."""
    for group in bench.groups:
        ratios = [(cell.ratio.median, cell) for cell in group.cells if cell.ratio is not None]
        if ratios:
            _, best = max(ratios, key=lambda pair: pair[0])
            return f"{_compared(best, bench.first.label)} in {setting_of(group)}"
    group, cell = next((group, cell) for group in bench.groups for cell in group.cells if cell.latency)
    assert cell.latency is not None
    return f"{cell.subject} takes {milliseconds(cell.latency.median_ms)}{SPACE}ms in {setting_of(group)}"


def conclusions(bench: Bench) -> list[str]:
    """What each of the others takes less or more, and, over several settings, in which of them it differs in time."""
    sentences = []
    for subject in bench.subjects[1:]:
        memory = _memory_sentence(bench, subject.label)
        latency = _latency_sentence(bench, subject.label)
        sentences += [sentence for sentence in (memory, latency) if sentence]
    return sentences


def _memory_sentence(bench: Bench, label: str) -> str:
    """In the first setting; what is the same by every definition is not worth a sentence."""
    group = bench.groups[0]
    cell = next(cell for cell in group.cells if cell.subject == label)
    compared = {
        name: _compare_bytes(_bytes(group.cells[0], name), _bytes(cell, name)) for name in ("forecast", "arena")
    }
    said = [f"{text} by the {name}" for name, text in compared.items() if text]
    if not said or set(compared.values()) <= {SAME, ""}:
        return ""
    return f"{label}, peak of feature maps beside {bench.first.label}: {', '.join(said)}."


def _latency_sentence(bench: Bench, label: str) -> str:
    cells = [(group, cell) for group in bench.groups for cell in group.cells if cell.subject == label]
    ratios = [(group, cell.ratio) for group, cell in cells if cell.ratio is not None]
    if len(ratios) < 2:
        return ""
    said = [
        f"{times(ratio.median)} in {setting_of(group, version=False)}"
        for group, ratio in ratios
        if ratio.difference_shown
    ]
    others = len(ratios) - len(said)
    if others:
        which = f"{others} other setting{'s' * (others != 1)}" if said else f"any of {others} settings"
        said.append(f"{NO_DIFFERENCE} in {which}")
    return f"{label}, times as fast as {bench.first.label}: {'; '.join(said)}."


def _compared(cell: Cell, first: str) -> str:
    ratio = cell.ratio
    assert ratio is not None
    if not ratio.difference_shown:
        return f"No difference in latency is shown between {cell.subject} and {first}"
    return f"{cell.subject} runs {times(ratio.median)} as fast as {first}"


def _about(bench: Bench, label: str) -> str:
    subject = next(subject for subject in bench.subjects if subject.label == label)
    words = [subject.net] if subject.net and subject.net != label else []
    if subject.shortcuts:
        words.append(f"{subject.shortcuts} shortcut{'s' * (subject.shortcuts != 1)}")
    if subject.precision != "float32":
        words.append(subject.precision)
    if any(other.input_shape != subject.input_shape for other in bench.subjects):
        words.append(f"images {shape_text(subject.input_shape)}")
    return ", ".join(words)


def _memories(group: Group) -> list[str]:
    """The definitions that have a column."""
    return [name for name in _FIELDS if name != "device" or group.device != "cpu"]


def _bytes(cell: Cell, name: str) -> int | None:
    found: int | None = getattr(cell.memory, _FIELDS[name], None)
    return found


def _unit(group: Group, name: str) -> Unit:
    return byte_unit([_bytes(cell, name) or 0 for cell in group.cells])


def _file_unit(group: Group) -> Unit:
    return byte_unit([cell.file_bytes or 0 for cell in group.cells])


def _milliseconds(group: Group) -> Callable[[float], str]:
    """With as many decimals as suit the longest of a table."""
    longest = max(cell.latency.median_ms for cell in group.cells if cell.latency)
    decimals = 3 if longest < 1 else 2 if longest < 100 else 1
    return lambda value: f"{value:.{decimals}f}"


def _figures(group: Group, cell: Cell) -> tuple[Figure, ...]:
    latency = cell.latency
    assert latency is not None
    accuracy, parity = cell.accuracy, cell.parity
    in_ms = _milliseconds(group)
    return (
        Figure(in_ms(latency.median_ms), (f"{in_ms(latency.p10_ms)} to {in_ms(latency.p90_ms)}",)),
        Figure(_rounded(latency.images_per_second)),
        _ratio(cell.ratio),
        *(_memory(group, cell, name) for name in _memories(group)),
        Figure(_file_unit(group).number(cell.file_bytes or 0)),
        Figure(DASH) if accuracy is None else Figure(f"{100 * accuracy.top1:.2f}", (f"{accuracy.images:,} images",)),
        Figure(DASH if parity is None else small(parity.max_difference)),
    )


def _ratio(ratio: Ratio | None) -> Figure:
    """A ratio whose spread holds 1 is never without the words that say so."""
    if ratio is None:
        return Figure(DASH)
    spread = f"{ratio.p10:.2f} to {ratio.p90:.2f}"
    return Figure(times(ratio.median), (spread,) if ratio.difference_shown else (spread, NO_DIFFERENCE))


def _memory(group: Group, cell: Cell, name: str) -> Figure:
    """Bytes, and how they compare with those of the first."""
    value = _bytes(cell, name)
    if value is None:
        return Figure(DASH)
    compared = "" if cell is group.cells[0] else _compare_bytes(_bytes(group.cells[0], name), value)
    return Figure(_unit(group, name).number(value), (compared,) if compared else ())


def _compare_bytes(first: int | None, value: int | None) -> str:
    """``1.50× less``; nothing where one is not known."""
    if not first or not value:
        return ""
    ratio = times(max(first, value) / min(first, value))
    return SAME if ratio == times(1) else f"{ratio} {'less' if first > value else 'more'}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
