"""What a device's compiler says: whether it fits, what holds the most SRAM, what removing shortcuts gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich.console import Console, Group, RenderableType
from rich.text import Text

from unskip.analyses._compiled import compiled_table
from unskip.analyses._layers import cut_blocks, holding_blocks, layer_parts
from unskip.analyses.base import Analysis, Network
from unskip.units import byte_unit

if TYPE_CHECKING:
    from unskip.records import Layer
    from unskip.search import CompiledStudent


@dataclass(frozen=True)
class Device(Analysis):
    """What one inference costs on ``device``, ``by`` its compiler, with 8 bits and random weights.

    ``sram_bytes`` are needed, ``available_bytes`` there, None where nobody says; with ``is_cache``, a DRAM is behind
    them and takes what does not fit. ``peak`` is the layer with the most SRAM in use, in the block or part ``peak_at``
    of the network; None where the compiler does not tell. ``holding`` are the blocks whose shortcuts hold a feature map
    there, ``cut`` those at whose beginning a cascade ends that goes on without shortcuts. ``groups`` are the network
    as it is and without some of its shortcuts, with a lean stem, and both.
    """

    order: ClassVar[int] = 0
    needs_device: ClassVar[bool] = True

    device: str
    by: str
    sram_bytes: int
    available_bytes: int | None
    is_cache: bool
    peak: Layer | None
    peak_at: str
    holding: tuple[str, ...]
    cut: tuple[str, ...]
    groups: tuple[CompiledStudent, ...]

    @classmethod
    def of(cls, network: Network) -> Self:
        """Compile the network and the groups."""
        from unskip.search import removal_groups

        target = network.target
        assert target is not None
        groups = removal_groups(network.net, network.input_shape, target.device, compiled=target.compiled)
        own = groups[0].estimate
        assert own is not None
        plain = next((each.estimate for each in groups if not each.student.lean and not each.student.shortcuts), None)
        parts = layer_parts(network.net, network.input_shape, own)
        plain_parts = layer_parts(network.plain, network.input_shape, plain) if plain else ()
        place = max(range(len(own.layers)), key=lambda index: own.layers[index].sram_bytes, default=None)
        return cls(
            device=str(target.device),
            by=own.by,
            sram_bytes=own.memory_bytes.get("sram", 0),
            available_bytes=target.sram_bytes or own.sram_limit_bytes,
            is_cache=own.sram_limit_bytes is not None,
            peak=None if place is None else own.layers[place],
            peak_at=parts[place] if parts and place is not None else "",
            holding=() if place is None else holding_blocks(network.net, parts, place),
            cut=cut_blocks(network.net, (own, parts), (plain, plain_parts)) if plain and plain_parts else (),
            groups=tuple(groups),
        )

    @property
    def fits(self) -> bool | None:
        """Whether the program fits the SRAM; None where nobody says how much there is."""
        return None if self.available_bytes is None else self.sram_bytes <= self.available_bytes

    @property
    def text(self) -> str:
        """Whether it fits, by how much, and where the most is in use."""
        size = byte_unit([max(self.sram_bytes, self.available_bytes or 0)]).text
        needed, there = size(self.sram_bytes), size(self.available_bytes or 0)
        if self.available_bytes is None:
            sentence = f"Needs {needed} of SRAM."
        elif not self.fits:
            more = size(self.sram_bytes - self.available_bytes)
            ratio = self.sram_bytes / self.available_bytes
            sentence = f"Does not fit {there} of SRAM: needs {needed}, {more} too much ({ratio:.2f}x of what there is)."
        elif self.is_cache:
            sentence = f"Fits {there} of SRAM, a cache in front of the DRAM: {needed} of it are used."
        else:
            sentence = f"Fits {there} of SRAM: needs {needed}, {size(self.available_bytes - self.sram_bytes)} are left."
        if self.peak is not None:
            at = (
                f"{self.peak_at} ({self.peak.operation})"
                if self.peak_at
                else f"{self.peak.name} ({self.peak.operation})"
            )
            sentence += f" Most is in use at {at}."
        return sentence

    @property
    def shortcuts_text(self) -> str:
        """Which shortcuts hold the most SRAM, and which end cascades."""
        sentence = ""
        if self.peak is not None:
            held = ", ".join(self.holding)
            sentence = f"A shortcut holds a map there: {held}." if held else "No shortcut holds a map there."
        if self.cut:
            sentence += f" Cascades that go on without shortcuts end where these blocks begin: {', '.join(self.cut)}."
        return sentence.strip()

    def to_json(self) -> dict[str, Any]:
        """Everything but the layers, of which the one with the most SRAM in use is there."""
        facts: Mapping[str, Any] = vars(self)
        return dict(facts) | {
            "fits": self.fits,
            "text": self.text,
            "peak": self.peak and self.peak.model_dump(),
            "groups": [group.to_json() for group in self.groups],
        }

    def show(self, console: Console) -> Iterator[RenderableType]:
        """Whether it fits, the shortcuts that matter, and what each group gives."""
        yield Text.assemble(f"on {self.device}\n", (self.text, "bold"))
        if self.shortcuts_text:
            yield Text(self.shortcuts_text)
        yield Text("without some of the shortcuts, by the compiler", style="bold")
        labels = [str(each.student) for each in self.groups]
        yield Group(*compiled_table(self.groups, labels, console, self.available_bytes))
        yield Text(
            f"Estimated by {self.by}: 8 bits, batch 1, random weights; nothing was measured on a device.", style="dim"
        )
