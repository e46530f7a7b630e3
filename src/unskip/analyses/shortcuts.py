"""Every shortcut of a network, with the bytes it holds and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rich.console import Console, RenderableType
from rich.text import Text

from unskip.analyses.base import Analysis, Network
from unskip.terminal import bare_table
from unskip.units import byte_unit, operations

if TYPE_CHECKING:
    from unskip.dataflow import Shortcut


@dataclass(frozen=True)
class Shortcuts(Analysis):
    """``share`` is that of live feature-map bytes which the shortcuts hold, summed over the operations, 0 to 1.

    ``original_places`` are the modules that the blocks of a parsed network were.
    """

    order: ClassVar[int] = 20

    inventory: tuple[Shortcut, ...]
    share: float
    original_places: Mapping[str, str]

    @classmethod
    def of(cls, network: Network) -> Self:
        """List the shortcuts of a network."""
        from unskip.dataflow import inventory, shortcut_share
        from unskip.nets import original_place

        net, shape = network.net, network.input_shape
        shortcuts = tuple(inventory(net, shape))
        places = [shortcut.place for shortcut in shortcuts] if net.original_names else []
        return cls(shortcuts, shortcut_share(net, shape), {place: original_place(net, place) for place in places})

    def show(self, console: Console) -> Iterator[RenderableType]:
        """How many there are, and how much they hold."""
        if self.inventory:
            most = max(self.inventory, key=lambda shortcut: shortcut.bytes_held)
            size = byte_unit([most.bytes_held])
            count = len(self.inventory)
            yield Text(
                f"{count} shortcut{'s' * (count != 1)}, with {self.share:.0%} of all live feature-map bytes; the most, "
                f"{size.text(most.bytes_held)}, is held by that of {most.place}."
            )

    def details(self, console: Console) -> Iterator[RenderableType]:
        """A row for every shortcut."""
        if not self.inventory:
            return
        size = byte_unit(shortcut.bytes_held for shortcut in self.inventory)
        last = "in the original" if self.original_places else "while these run"
        rows = []
        for each in self.inventory:
            costs = (f"{each.parameters:,}", operations(each.macs)) if each.kind == "projection" else ("-", "-")
            told = self.original_places.get(each.place, _span(each)) or "its own forward"
            rows.append((each.place, each.kind, size.number(each.bytes_held), *costs, told))
        yield bare_table(
            "shortcuts",
            ("<block", "<kind", f"holds, {size.name}", "parameters", "MACs", f"~{last}"),
            rows,
        )


def _span(shortcut: Shortcut) -> str:
    """The operations during which a shortcut holds memory: ``relu1..add (3 ops)``."""
    inside = [name.removeprefix(f"{shortcut.place}.").removeprefix("body.") for name in shortcut.held_during]
    if len(inside) < 2:
        return inside[0] if inside else "-"
    return f"{inside[0]}..{inside[-1]} ({len(inside)} ops)"
