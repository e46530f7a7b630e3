"""Figures as the terminal shows them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

__all__ = ["ByteUnit", "bare_table", "macs_text"]


@dataclass(frozen=True)
class ByteUnit:
    """The unit that suits a number of bytes: MiB, or KiB for a small one."""

    name: str
    size: int

    @classmethod
    def for_peak(cls, peak_bytes: int) -> ByteUnit:
        """The unit for all figures of a network with this peak."""
        return cls("MiB", 2**20) if peak_bytes >= 2**20 else cls("KiB", 2**10)

    def number(self, count: float) -> str:
        """A number of bytes in this unit, without its name."""
        return f"{count / self.size:.2f}"

    def text(self, count: float) -> str:
        """A number of bytes in this unit, with its name."""
        return f"{self.number(count)} {self.name}"


def macs_text(count: int) -> str:
    """``4.09 G``, or ``69.8 M`` for a small network."""
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"


def bare_table(title: str | None = None) -> Table:
    """A table without lines."""
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
