"""Live feature maps over the course of one inference, as a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from markupsafe import Markup

from unskip.records import Timeline
from unskip.report.labels import End, label_ends, short_label
from unskip.report.svg import RULE, canvas, net_color, round_ticks, to_svg, visible
from unskip.units import byte_unit


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
    counts = _operations([each.timeline for each in drawn])
    starts = _starts(counts)
    ends = []
    with canvas(width, 300) as axes:
        for each, own in zip(drawn, counts, strict=True):
            color = net_color(each.color)
            values = [operation.live_bytes / unit.size for operation in each.timeline.operations]
            edges = [
                start + (stop - start) * index / number
                for (start, stop), number in zip(pairwise(starts), own.values(), strict=True)
                for index in range(number)
            ] + starts[-1:]
            if each.filled:
                axes.stairs(values, edges, fill=True, color=color, alpha=0.14, linewidth=0)
            axes.stairs(values, edges, baseline=None, color=color, linewidth=2 if each.filled else 1.4)
            peak = max(range(len(values)), key=values.__getitem__)
            x = (edges[peak] + edges[peak + 1]) / 2
            axes.plot(x, values[peak], "o", color=color, markersize=6, zorder=4)
            label = f"{short_label(each.name)}\n{unit(each.timeline.peak_bytes)}"
            ends.append(End(label, x, values[peak], color, each.filled))
        axes.set_xlim(0, starts[-1])
        axes.set_ylim(0, 1.06 * max(end.y for end in ends))
        round_ticks(axes.yaxis)
        for start in starts[1:-1]:
            axes.axvline(start, color=RULE, linewidth=1)
        spans = zip(counts[0], pairwise(starts), strict=True)
        per_operation = (width - 150) / starts[-1]
        named = {(a + b) / 2: visible(part) for part, (a, b) in spans if (b - a) * per_operation > 7 * len(part)}
        axes.set_xticks(list(named), list(named.values()))
        axes.tick_params(axis="x", size=0)
        axes.set_title(f"live feature maps, {unit.name}")
        axes.set_xlabel("operations in order of execution")
        label_ends(axes, ends, gap=32)
        peaks = "; ".join(f"{each.name} {unit(each.timeline.peak_bytes)} at {each.timeline.peak_at}" for each in drawn)
        return to_svg(axes, name, f"Live feature maps over one inference. Peaks: {peaks}.")


def _operations(timelines: Sequence[Timeline]) -> list[Counter[str]]:
    """How many operations each net has in each of its parts; in one nameless part where the parts differ."""
    counts = [Counter(op.name.partition(".")[0] for op in timeline.operations) for timeline in timelines]
    if all(list(other) == list(counts[0]) for other in counts):
        return counts
    return [Counter({"": len(timeline.operations)}) for timeline in timelines]


def _starts(counts: Sequence[Counter[str]]) -> list[int]:
    """Where each part starts, and where the last one ends: a part is as wide as any net has operations in it."""
    return list(accumulate((max(own[part] for own in counts) for part in counts[0]), initial=0))
