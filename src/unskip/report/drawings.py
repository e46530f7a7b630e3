"""What the pages of runs and benchmarks draw alike: scores against costs, live feature maps over an inference."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from unskip.records import Comparison, Figure, Group, Timeline
from unskip.report.findings import COSTS
from unskip.report.memory import DrawnTimeline, memory_plot
from unskip.report.pareto import Point, pareto_plot
from unskip.report.svg import NUM_COLORS
from unskip.units import byte_unit


@dataclass(frozen=True)
class Drawn:
    """A drawing with its title and the number of its net's colour; ``wide`` where there is one for wide pages too."""

    title: str
    svg: Markup
    color: int | None = None
    wide: Markup | None = None


def colors_of(comparison: Comparison) -> dict[str, int]:
    """The number of each subject's colour: grey for the first, then the others in turn."""
    labels = [subject.label for subject in comparison.subjects]
    return {label: 1 + (place - 1) % (NUM_COLORS - 1) if place else 0 for place, label in enumerate(labels)}


def cost_drawings(comparison: Comparison, group: Group, metric: str, name: str) -> list[Drawn]:
    """Scores against each cost in a setting, of the subjects that have both; ``name`` is unique in the page."""
    colors = colors_of(comparison)
    drawings = []
    for measure in COSTS:
        pairs: dict[str, tuple[float, Figure]] = {}
        for label in colors:
            score, cost = (comparison.figure(label, each, group) for each in (metric, measure))
            if score.value is not None and cost.value is not None:
                pairs[label] = score.value, cost
        if len(pairs) < 2:
            continue
        about = comparison.measures[measure]
        unit, size = about.unit, 1.0
        if unit == "bytes":
            scale = byte_unit(cost.value or 0 for _, cost in pairs.values())
            unit, size = scale.name, scale.size
        points = [
            Point(
                label,
                (cost.value or 0) / size,
                score,
                colors[label],
                None if cost.low is None or cost.high is None else (cost.low / size, cost.high / size),
            )
            for label, (score, cost) in pairs.items()
        ]
        titles = comparison.measures[metric].title, f"{about.title}, {unit}"
        drawings.append(Drawn(about.title, pareto_plot(points, *titles, f"{name}-{measure}")))
    return drawings


def memory_drawings(comparison: Comparison, best: str | None = None) -> list[Drawn]:
    """Every net over the first one, or that alone; of nets with equal timelines one, ``best`` if it is among them."""
    colors = colors_of(comparison)
    timelines: dict[str, Timeline] = {}
    for subject in sorted(comparison.subjects, key=lambda each: (each != comparison.first, each.label != best)):
        if subject.memory is not None and subject.memory not in timelines.values():
            timelines[subject.label] = subject.memory
    if not timelines:
        return []
    first, *others = timelines
    drawings = []
    for number, label in enumerate(others or [first]):
        drawn = [
            DrawnTimeline(each, timelines[each], colors[each], each == label) for each in dict.fromkeys((first, label))
        ]
        wide, narrow = (memory_plot(drawn, f"memory-{number}-{width}", width) for width in (1040, 380))
        drawings.append(Drawn(label, narrow, colors[label], wide))
    return drawings
