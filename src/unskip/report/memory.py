"""Live feature maps over the course of one inference, as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from unskip.report.labels import CHARACTER, End, label_ends, margin, short_label, titles
from unskip.report.record import Operation, Timeline
from unskip.report.svg import RULE, canvas, net_color, to_svg, visible
from unskip.units import byte_unit

__all__ = ["DrawnTimeline", "memory_plot"]


@dataclass(frozen=True)
class DrawnTimeline:
    """A net's timeline with its name and the number of its colour; ``filled`` ones are the subject of the plot."""

    name: str
    timeline: Timeline
    color: int
    filled: bool


def memory_plot(drawn: Sequence[DrawnTimeline], name: str, width: int) -> Markup:
    """Live feature maps operation by operation, the nets over each other, peaks marked; ``name`` is unique in the page.

    The same part of the nets has the same place, although one may have more operations.
    """
    unit = byte_unit([each.timeline.peak_bytes for each in drawn])
    spans = _spans([each.timeline for each in drawn])
    labels = [f"{short_label(each.name)}\n{unit(each.timeline.peak_bytes)}" for each in drawn]
    right = margin(line for label in labels for line in label.split("\n"))
    with canvas(width, 300, left=46, right=right) as axes:
        ends = []
        for each, label in zip(drawn, labels, strict=True):
            color = net_color(each.color)
            values = [operation.live_bytes / unit.size for operation in each.timeline.operations]
            edges = _edges(each.timeline, spans)
            if each.filled:
                axes.stairs(values, edges, fill=True, color=color, alpha=0.14, linewidth=0)
            axes.stairs(values, edges, baseline=None, color=color, linewidth=2 if each.filled else 1.4)
            peak = max(range(len(values)), key=values.__getitem__)
            x = (edges[peak] + edges[peak + 1]) / 2
            axes.plot(x, values[peak], "o", color=color, markersize=6, zorder=4)
            ends.append(End(label, x, values[peak], color, each.filled))
        end = spans[-1][2]
        axes.set_xlim(0, end)
        axes.set_ylim(0, 1.06 * max(end.y for end in ends))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        for _, start, _ in spans[1:]:
            axes.axvline(start, color=RULE, linewidth=1)
        per_unit = (width - 46 - right) / end
        shown = [span for span in spans if (span[2] - span[1]) * per_unit > CHARACTER * len(span[0])]
        axes.set_xticks([(start + stop) / 2 for _, start, stop in shown], [visible(part) for part, _, _ in shown])
        axes.tick_params(axis="x", size=0)
        titles(axes, f"live feature maps, {unit.name}", "operations in order of execution")
        label_ends(axes, ends, gap=32)
        peaks = "; ".join(f"{each.name} {unit(each.timeline.peak_bytes)} at {each.timeline.peak_at}" for each in drawn)
        return to_svg(axes, name, f"Live feature maps over one inference. Peaks: {peaks}.")


def _spans(timelines: Sequence[Timeline]) -> list[tuple[str, float, float]]:
    """The nets' parts, each as wide as it has operations; one nameless part if the nets' parts differ."""
    counts = [[(part, len(list(ops))) for part, ops in groupby(each.operations, _part)] for each in timelines]
    if any([part for part, _ in other] != [part for part, _ in counts[0]] for other in counts):
        return [("", 0, max(len(each.operations) for each in timelines))]
    spans: list[tuple[str, float, float]] = []
    for same in zip(*counts, strict=True):
        start = spans[-1][2] if spans else 0
        spans.append((same[0][0], start, start + max(count for _, count in same)))
    return spans


def _edges(timeline: Timeline, spans: Sequence[tuple[str, float, float]]) -> list[float]:
    """Where each operation starts, and where the last one ends."""
    if len(spans) == 1:
        counts = [len(timeline.operations)]
    else:
        counts = [len(list(operations)) for _, operations in groupby(timeline.operations, _part)]
    edges = [0.0]
    for (_, start, stop), count in zip(spans, counts, strict=True):
        edges += [start + (stop - start) * (index + 1) / count for index in range(count)]
    return edges


def _part(operation: Operation) -> str:
    return operation.name.partition(".")[0]
