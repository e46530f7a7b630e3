"""What can be said of a network before any training: one file for each analysis, found by listing this folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from unskip.analyses.base import Analysis, Network, Target
from unskip.listing import Listing
from unskip.terminal import as_html

if TYPE_CHECKING:
    from unskip.nets import StagedNet

__all__ = ["ANALYSES", "Analysis", "Inspection", "Network", "Target", "inspect_net"]

ANALYSES: Listing[Analysis] = Listing(__name__, Analysis, "analysis")  # type: ignore[type-abstract]


@dataclass(frozen=True)
class Inspection:
    """The analyses of a network by name, for one image of ``(channels, height, width)``."""

    net: str
    input_shape: tuple[int, int, int]
    analyses: Mapping[str, Analysis]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON: an analysis under its name."""
        found = {name: analysis.to_json() for name, analysis in self.analyses.items()}
        return {"net": self.net, "input_shape": list(self.input_shape), **found}

    def _repr_html_(self) -> str:
        """What a notebook shows: all of it."""
        return as_html(lambda console: self.show(console, details=True))

    def show(self, console: Console, *, details: bool = False) -> None:
        """Print what the network is and what each analysis comes to, the verdict first; with ``details``, all of it.

        What a device's compiler says is the verdict for that device; forecasts for none are details then.
        """
        image = "x".join(map(str, self.input_shape))
        console.print(Text.assemble((self.net, "bold"), f", image {image}"))
        compiled = any(analysis.needs_device for analysis in self.analyses.values())
        for analysis in self.analyses.values():
            if compiled and not details and not (analysis.needs_device or analysis.takes_time):
                continue
            for part in (*analysis.show(console), *(analysis.details(console) if details else ())):
                console.print()
                console.print(part)
        console.print()
        console.print(Text("Accuracy and latency are not forecast: train, export and measure.", style="dim"))


def inspect_net(
    net: StagedNet, input_shape: tuple[int, int, int], *, also: Collection[str] = (), target: Target | None = None
) -> Inspection:
    """Analyse a network for one image of ``(channels, height, width)``, on the device of ``target`` where there is one.

    Analyses that take time are made only where ``also`` names them. Raises `UnskipError` for a name that none has, and
    when an image of that size does not fit the network.
    """
    from unskip.dataflow import traced_once

    named = {name: ANALYSES[name] for name in also}
    kinds = {name: kind for name, kind in ANALYSES.items() if not kind.takes_time} | named
    kinds = {name: kind for name, kind in kinds.items() if target is not None or not kind.needs_device}
    network = Network(net, input_shape, target)
    with traced_once():
        found = {name: network.analysis(kind) for name, kind in sorted(kinds.items(), key=lambda item: item[1].order)}
    return Inspection("network" if net.spec is None else str(net.spec), input_shape, found)
