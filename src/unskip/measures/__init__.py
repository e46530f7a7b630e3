"""What networks and files are measured by: one measure a file, found by listing this folder.

None imports torch before it is asked for a figure, so that help texts and reports need not wait for it.
"""

from unskip.listing import Listing
from unskip.measures.base import DeviceMeasure, Limit, Measure, MeasuredFile, MeasuredNet, Timing
from unskip.records import Estimate, Figure

__all__ = [
    "MEASURES",
    "DeviceMeasure",
    "Limit",
    "Measure",
    "MeasuredFile",
    "MeasuredNet",
    "Timing",
    "device_figures",
    "limits",
    "measures",
]

MEASURES = Listing("unskip.measures", Measure, "measure")


def measures() -> dict[str, Measure]:
    """All measures by name, in the order of a table's columns."""
    every = {name: measure() for name, measure in MEASURES.items()}
    return dict(sorted(every.items(), key=lambda pair: pair[1].order))


def device_figures(estimate: Estimate) -> dict[str, Figure]:
    """What a device's compiler says, by measure."""
    figures = {
        name: measure.of_estimate(estimate)
        for name, measure in measures().items()
        if isinstance(measure, DeviceMeasure)
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def limits() -> dict[str, tuple[Measure, Limit]]:
    """What a budget can limit, by the limits' names, with the measures that they limit."""
    return {limit.name: (measure, limit) for measure in measures().values() for limit in measure.limits}
