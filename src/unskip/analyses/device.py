"""What a device's compiler says: whether removing shortcuts pays, whether it fits, what holds the most SRAM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich.console import Console, Group, RenderableType
from rich.text import Text

from unskip.analyses._compiled import compiled_table
from unskip.analyses._device_verdict import DeviceVerdict
from unskip.analyses._layers import cut_blocks, holding_blocks, layer_parts
from unskip.analyses.base import Analysis, Network
from unskip.analyses.kept import Kept
from unskip.units import byte_unit

if TYPE_CHECKING:
    from unskip.records import Layer
    from unskip.search import CompiledStudent


@dataclass(frozen=True)
class Device(Analysis):
    """What one inference costs on ``device``, ``by`` its compiler, with 8 bits and random weights.

    ``verdict`` says whether removing the shortcuts pays, ``better`` and ``worse`` what then falls or rises by 5 % or
    more: ``cycles``, ``sram`` where it is no cache, ``dram_traffic`` of feature maps. ``sram_bytes`` are needed,
    ``available_bytes`` there, None where nobody says; with ``is_cache``, a DRAM is behind them and takes what does not
    fit. ``peak`` is the layer with the most SRAM in use, in the block or part ``peak_at`` of the network; None where
    the compiler does not tell. ``holding`` are the blocks whose shortcuts hold a feature map while it runs, ``cut``
    those at whose beginning a cascade ends that goes on without shortcuts. ``groups`` are the network as it is and
    without some of its shortcuts, with a lean stem, and both.
    """

    order: ClassVar[int] = 0
    needs_device: ClassVar[bool] = True

    device: str
    by: str
    verdict: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
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
        available = target.sram_bytes or own.sram_limit_bytes
        verdict, kept = DeviceVerdict((), (), ""), network.analysis(Kept)
        text = kept.nothing_to_remove
        if groups[0].student.shortcuts:
            verdict = DeviceVerdict.of(target.device.target, groups, available)
            text = f"{verdict.text} But {kept.unknown}." if kept.unknown else verdict.text
        return cls(
            device=str(target.device),
            by=own.by,
            verdict=text,
            better=verdict.better,
            worse=verdict.worse,
            sram_bytes=own.memory_bytes.get("sram", 0),
            available_bytes=available,
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
        return f"{sentence} Most is in use at {self._at}." if self.peak is not None else sentence

    @property
    def shortcuts_text(self) -> str:
        """Which shortcuts hold the most SRAM, and which end cascades."""
        sentence = ""
        if self.peak is not None:
            held = f"a shortcut holds a map: {', '.join(self.holding)}" if self.holding else "no shortcut holds a map"
            sentence = f"While {self._at} runs, {held}."
        if self.cut:
            sentence += f" Cascades that go on without shortcuts end where these blocks begin: {', '.join(self.cut)}."
        return sentence.strip()

    @property
    def _at(self) -> str:
        """The layer with the most SRAM in use."""
        assert self.peak is not None
        return f"{self.peak_at or self.peak.name} ({self.peak.operation})"

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
        """Whether removal pays, whether it fits, the shortcuts that matter, and what each group gives."""
        yield Text(self.verdict, style="bold")
        yield Text.assemble(f"on {self.device}\n", (self.text, "bold"))
        if self.shortcuts_text:
            yield Text(self.shortcuts_text)
        yield Text("plain, that is without shortcuts, in some of the stages, by the compiler", style="bold")
        labels = [str(each.student) for each in self.groups]
        yield Group(*compiled_table(self.groups, labels, console, self.available_bytes))
        if any(each.student.lean for each in self.groups):
            yield Text(
                "lean stem: its convolution takes over the stride of the pooling after it, which goes", style="dim"
            )
        yield Text(
            f"Estimated by {self.by}: 8 bits, batch 1, random weights; nothing was measured on a device.", style="dim"
        )
