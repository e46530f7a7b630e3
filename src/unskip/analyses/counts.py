"""What is counted of a network by itself, with and without its shortcuts: parameters, MACs and other measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from rich.console import Console, RenderableType

from unskip.analyses.base import Analysis, Network
from unskip.measures import MeasuredNet, measures
from unskip.records import About, Figure
from unskip.terminal import bare_table
from unskip.units import writer


@dataclass(frozen=True)
class Counts(Analysis):
    """Figures by measure, for one image; ``plain_figures`` are without shortcuts, ``measures`` says what they are."""

    order: ClassVar[int] = 10

    figures: Mapping[str, Figure]
    plain_figures: Mapping[str, Figure]
    measures: Mapping[str, About]

    @classmethod
    def of(cls, network: Network) -> Self:
        """Ask every measure."""
        every = measures()
        full, plain = (
            {
                name: figure
                for name, measure in every.items()
                if (figure := measure.of_net(MeasuredNet(net, network.input_shape))) is not None
            }
            for net in (network.net, network.plain)
        )
        return cls(full, plain, {name: every[name].about for name in full})

    def to_json(self) -> dict[str, Any]:
        """A figure's value, with and without shortcuts, under its measure's name."""
        return {
            name: {"value": figure.value, "plain_value": self.plain_figures[name].value}
            for name, figure in self.figures.items()
        }

    def show(self, console: Console) -> Iterator[RenderableType]:
        """A row for every measure."""
        yield bare_table(None, ("<", "with shortcuts", "without", "", "<"), self._rows())

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name, about in self.measures.items():
            full, plain = self.figures[name].value, self.plain_figures[name].value
            if full is not None and plain is not None:
                unit, write = ("", "{:,.0f}".format) if about.unit == "count" else writer(about.unit, [full, plain])
                yield about.title, write(full), write(plain), unit, f"{plain / full - 1:+.1%}" if full else ""
