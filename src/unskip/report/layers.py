"""What a device does over the course of one inference, layer by layer, as its compiler estimates it, as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

from markupsafe import Markup

from unskip.records import Estimate, Layer
from unskip.report.labels import short_label
from unskip.report.svg import INK, MUTED, bound_color, canvases, net_color, to_svg
from unskip.units import Unit, byte_unit, count_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 132  # pixels of a net
_BOTTOM, _TOP = -0.36, 1.05  # of a row, in parts of the highest SRAM, as all that follows
_LAYERS = (-0.30, 0.17)  # the layers below the SRAM: where, and how high
_CASCADE = -0.065  # where the line is that joins a cascade's layers
_LETTER = 8.0  # pixels, of a name


@dataclass(frozen=True)
class DrawnEstimate:
    """A net's estimate with its name and the number of its colour."""

    name: str
    estimate: Estimate
    color: int


def bound_of(layer: Layer) -> str:
    """What decides the cycles of a layer: ``compute``, or the name of the memory that computing waits for."""
    memory, cycles = max(layer.memory_cycles.items(), key=itemgetter(1), default=("", 0))
    return memory if cycles > layer.compute_cycles else "compute"


def cascades_of(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """The first and the last place of the layers of each cascade."""
    runs = groupby(enumerate(layers), key=lambda pair: pair[1].cascade)
    places = [[place for place, _ in run] for cascade, run in runs if cascade is not None]
    return [(run[0], run[-1]) for run in places]


def layers_plot(drawn: Sequence[DrawnEstimate], name: str, width: int) -> Markup:
    """SRAM over the cycles, what each layer is bound by, and cascades, a row for each net; ``name`` as in `to_svg`.

    Rows have one scale, so that the net whose row ends first is the fastest. Where a compiler says no cycles, layers
    are equally wide.
    """
    from matplotlib.ticker import MaxNLocator

    estimates = [each.estimate for each in drawn]
    timed = all(estimate.cycles for estimate in estimates)
    layers = [[layer for layer in estimate.layers if layer.cycles or not timed] for estimate in estimates]
    cycles = count_unit([estimate.cycles or 0 for estimate in estimates])
    memory = byte_unit([_sram(estimate) for estimate in estimates])
    limit = next((estimate.sram_limit_bytes for estimate in estimates if estimate.sram_limit_bytes), None)
    edges = [_edges(own, cycles.size if timed else None) for own in layers]
    right = max(each[-1] for each in edges)
    top = max(limit or 0, *map(_sram, estimates)) / memory.size
    with canvases(width, 40 + _ROW * len(drawn), len(drawn)) as rows:
        for axes, each, own, ends in zip(rows, drawn, layers, edges, strict=True):
            _row(axes, own, ends, net_color(each.color), memory, top, pixel=right / (width - 40))
            facts = in_short(each.estimate, cycles, memory)
            beside = (len(each.name) + len(facts)) * _LETTER < width
            axes.set_title(
                short_label(each.name, int(width / _LETTER)), color=INK, weight="bold", pad=9 if beside else 22
            )
            x, side = (1, "right") if beside else (0, "left")
            axes.annotate(facts, (x, 1), (0, 6), "axes fraction", "offset pixels", ha=side, color=MUTED)
            if limit is not None:
                axes.axhline(limit / memory.size, color=INK, linewidth=1, linestyle=(0, (5, 3)), zorder=3)
        rows[0].set(xlim=(0, right), ylim=(_BOTTOM * top, _TOP * top))
        rows[0].set_yticks([tick for tick in MaxNLocator(3, steps=[1, 2, 4, 5, 10]).tick_values(0, top) if tick <= top])
        along = f"{cycles.name} cycles".strip() if timed else "layers in order of execution"
        rows[-1].set_xlabel(f"{along}; upwards SRAM in {memory.name}")
        nets_text = "; ".join(f"{each.name} {in_short(each.estimate, cycles, memory)}" for each in drawn)
        return to_svg(rows[0], name, f"SRAM in use and what bounds each layer over one inference: {nets_text}.")


def _row(
    axes: Axes, layers: Sequence[Layer], edges: Sequence[float], color: str, memory: Unit, top: float, pixel: float
) -> None:
    """A net's SRAM in its colour, below it the cascades and the layers; ``pixel`` is the width of one."""
    values = [layer.sram_bytes / memory.size for layer in layers]
    axes.stairs(values, edges, fill=True, color=color, alpha=0.18, linewidth=0)
    axes.stairs(values, edges, color=color, linewidth=1.4)
    bottom, height = _LAYERS[0] * top, _LAYERS[1] * top
    for layer, (start, end) in zip(layers, pairwise(edges), strict=True):
        if not layer.cycles:
            continue
        gap = pixel if end - start > 4 * pixel else 0  # between layers that are wide enough to have one
        axes.bar(
            start, height, end - start - gap, bottom, align="edge", color=bound_color(bound_of(layer)), linewidth=0
        )
    for first, last in cascades_of(layers):
        ends = edges[first] + pixel, edges[last + 1] - 2 * pixel
        axes.plot(ends, [_CASCADE * top] * 2, color=INK, linewidth=3, solid_capstyle="butt")
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.tick_params(axis="x", size=0)
    axes.spines.bottom.set_visible(False)


def _edges(layers: Sequence[Layer], scale: float | None) -> list[float]:
    """Where each layer starts, and where the last one ends."""
    widths = (1.0 if scale is None else layer.cycles / scale for layer in layers)
    return list(accumulate(widths, initial=0.0))


def _sram(estimate: Estimate) -> int:
    return max([estimate.memory_bytes.get("sram", 0), *(layer.sram_bytes for layer in estimate.layers)])


def in_short(estimate: Estimate, cycles: Unit | None = None, memory: Unit | None = None) -> str:
    """``8.49 million cycles, 379.3 KiB of SRAM``, in the units given."""
    sram = _sram(estimate)
    memory, cycles = memory or byte_unit([sram]), cycles or count_unit([estimate.cycles or 0])
    parts = [f"{cycles(estimate.cycles)} cycles"] if estimate.cycles else []
    return ", ".join([*parts, f"{memory(sram)} of SRAM"])
