"""A network that edits make of another, and what it costs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

from unskip.surgery import Edit


@dataclass(frozen=True)
class Student:
    """A network that edits make of another, and what it costs for one image.

    ``lean``: with a lean stem; ``groups``: with so many in each spatial convolution, 1 for as they are; ``depth``: the
    first so many blocks of each stage, None for all; ``removed``: the places of shortcuts that an edit names, None for
    all; ``shortened``: likewise. ``pruned``: the share of channels that go, before shortcuts do unless
    ``pruned_last``. ``sub_net``: trained as a sub-net of a network of all blocks. ``gone`` are all blocks and shortcuts
    that the network has and the student has not; of ``shortcuts``, shortened ones count as the one that they were.

    ``peak_elements`` are the most live elements of feature maps, as `unskip.forecast` counts them.
    """

    lean: bool
    groups: int
    depth: tuple[int, ...] | None
    removed: tuple[str, ...] | None
    sub_net: bool
    gone: frozenset[str]
    shortcuts: int
    peak_elements: int
    macs: int
    parameters: int
    shortened: tuple[str, ...] | None = ()
    pruned: float = 0.0
    pruned_last: bool = False

    def figures(self, bytes_per_element: int) -> dict[str, int]:
        """What is counted of it, by measure; the file's size is that of its weights."""
        return {
            "peak": bytes_per_element * self.peak_elements,
            "parameters": self.parameters,
            "macs": self.macs,
            "file_bytes": bytes_per_element * self.parameters,
        }

    @property
    def structure(self) -> Hashable:
        """What makes it another network; a sub-net has that of the student with the same blocks."""
        return self.lean, self.groups, self.shortened, self.pruned, self.pruned_last, self.gone

    @property
    def is_whole(self) -> bool:
        """Whether nothing but the stem and shortcuts differs, and perhaps the width."""
        return self.depth is None and self.groups == 1

    @property
    def change(self) -> tuple[int, ...]:
        """The order of students, the least changed first; the network itself is the first of all."""
        return -self.macs, -self.shortcuts, -self.parameters, len(self.edits), self.sub_net

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The edits by name, whatever their arguments."""
        return frozenset(name for name, _ in self.edits)

    @cached_property
    def whole_edits(self) -> tuple[Edit, ...]:
        """The edits but for the one that leaves blocks out: those of the network that holds a sub-net."""
        prune: list[Edit] = [("with_pruned_channels", {"ratio": self.pruned})] if self.pruned else []
        edits: list[Edit] = [("with_lean_stem", {})] if self.lean else []
        if self.groups > 1:
            edits.append(("with_grouped_convs", {"groups": self.groups}))
        edits += [] if self.pruned_last else prune
        for name, places in (("with_shortened_shortcuts", self.shortened), ("without_shortcuts", self.removed)):
            if places != ():
                edits.append((name, {} if places is None else {"only": list(places)}))
        return (*edits, *(prune if self.pruned_last else []))

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """The edits in order, as recipes and `unskip.surgery.edited` take them."""
        depth: tuple[Edit, ...] = () if self.depth is None else (("at_depth", {"blocks": list(self.depth)}),)
        return (*self.whole_edits, *depth)

    def __str__(self) -> str:
        """``lean stem, plain in stage1, blocks 2-2-3-2``."""
        words = ["lean stem"] if self.lean else []
        words += [f"{self.groups} groups"] if self.groups > 1 else []
        prune = [f"{self.pruned:g} pruned"] if self.pruned else []
        words += [] if self.pruned_last else prune
        for word, places in (("shortened", self.shortened), ("plain", self.removed)):
            if places != ():
                words.append(word if places is None else f"{word} in {_in_words(places)}")
        words += prune if self.pruned_last else []
        if self.depth is not None:
            words.append(f"{'sub-net' if self.sub_net else 'blocks'} {'-'.join(map(str, self.depth))}")
        return ", ".join(words) or "as it is"


def _in_words(places: Sequence[str]) -> str:
    return ", ".join(places) if len(places) <= 3 else f"{len(places)} places"
