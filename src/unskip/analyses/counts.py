"""What is counted of a network with and without its shortcuts: parameters and MACs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from rich.console import Console, RenderableType

from unskip.analyses.base import Analysis, Network
from unskip.terminal import bare_table
from unskip.units import operations

__all__ = ["Counts"]


@dataclass(frozen=True)
class Counts(Analysis):
    """MACs are multiply-accumulates for one image; ``plain_`` is without shortcuts."""

    order: ClassVar[int] = 10

    parameters: int
    plain_parameters: int
    macs: int
    plain_macs: int

    @classmethod
    def of(cls, network: Network) -> Self:
        """Count a network."""
        from unskip.dataflow import count_macs, num_parameters

        nets = (network.net, network.plain)
        return cls(*map(num_parameters, nets), *(count_macs(net, network.input_shape) for net in nets))

    def show(self, console: Console) -> Iterator[RenderableType]:
        """A row for every figure, with what the shortcuts have of it."""
        figures = (
            ("parameters", self.parameters, self.plain_parameters, "{:,}".format),
            ("MACs", self.macs, self.plain_macs, operations),
        )
        yield bare_table(
            None,
            ("<", "with shortcuts", "without", "less"),
            (
                (name, text(full), text(plain), f"{1 - plain / full:.1%}" if full else "-")
                for name, full, plain, text in figures
            ),
        )
