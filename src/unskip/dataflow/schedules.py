"""The peak of live feature maps by the schedule in which a network runs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from unskip.dataflow.memory import live_elements
from unskip.dataflow.operations import trace
from unskip.dataflow.patches import patched
from unskip.dataflow.reordering import reordered
from unskip.dataflow.stripes import striped


@dataclass(frozen=True)
class SchedulePeaks:
    """The most bytes of feature maps that live at once, by schedule, for one image.

    ``layer_by_layer`` is the peak that `unskip.forecast` gives: one operation after the other, in the order of the
    code. ``reordered``: in the best order; ``reordering_is_exact`` says whether every order was thought of.
    ``in_stripes``: row by row in cascades, of which there are ``num_cascades``; weights are read anew for every row, or
    lie in a memory of their own. ``by_patches``: the first operations patch by patch, ``patch_grid`` x ``patch_grid``
    of them, which computes ``extra_macs`` a second time, as a share of the network's MACs; the grid is 1 where patches
    lower nothing.
    """

    layer_by_layer: int
    reordered: int
    reordering_is_exact: bool
    in_stripes: int
    num_cascades: int
    by_patches: int
    patch_grid: int
    extra_macs: float


def peaks_by_schedule(
    net: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    inplace: bool = True,
    bytes_per_element: int = 4,
    most_extra_macs: float = 0.1,
) -> SchedulePeaks:
    """What a network holds at most under four schedules, for one image of ``(channels, height, width)``.

    ``inplace`` and ``bytes_per_element`` are those of `unskip.forecast`; stripes and patches are always in place.
    ``most_extra_macs`` is the largest share of MACs that patches may compute again. docs/explanation/schedules.md says
    what each schedule is. Raises `UnskipError` when the network cannot be traced.
    """
    dataflow = trace(net, input_shape)
    order, stripes = reordered(dataflow, inplace=inplace), striped(dataflow)
    patches = patched(dataflow, most_extra=most_extra_macs)
    return SchedulePeaks(
        layer_by_layer=max(live_elements(dataflow, inplace=inplace)) * bytes_per_element,
        reordered=order.peak_elements * bytes_per_element,
        reordering_is_exact=order.exact,
        in_stripes=stripes.peak_elements * bytes_per_element,
        num_cascades=sum(cascade.last > cascade.first for cascade in stripes.cascades),
        by_patches=patches.peak_elements * bytes_per_element,
        patch_grid=patches.grid,
        extra_macs=patches.extra_macs / max(patches.macs - patches.extra_macs, 1),
    )
